"""Loads a folder of definitions, wherever it lies, and compiles it to the plan. The engine never imports the folder by name."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import schemas as schemas_package
from features.compiler.analyse import analyse
from features.compiler.declarations import Declared, Definitions, Problems, did_you_mean
from features.plan import Plan, ServicePlan, ViewPlan
from features.vocabulary.words import Entity, FeatureService, FeatureView, Source
from schemas.errors import DefinitionError, SettingError
from schemas.schema import SchemaSet

SHIPPED_DEFINITIONS = Path(__file__).parent / "definitions"
"""The example, used when TIDEMARK_DEFINITIONS names no folder."""
TESTS = "tests"
"""The folder below the definitions that has their tests: none of its modules is loaded."""
_SHIPPED_SCHEMAS = Path(schemas_package.__file__ or "").parent
_KINDS = (Source, Entity, FeatureView, FeatureService)
_WORDS = frozenset(kind.__name__ for kind in _KINDS)
_CANNOT_IMPORT = re.compile(r"cannot import name '(?P<name>[^']+)' from '(?P<module>[^']+)'")


def load(definitions: Path | None, schemas: Path | None) -> Plan:
    """Everything that a folder of definitions declares.

    Args:
        definitions: The folder; its modules import each other relatively. The shipped example if None.
        schemas: The folder of `.avsc` files; the shipped one if None.

    Raises:
        SettingError: A folder that is not there.
        DefinitionError: Everything wrong with modules, schemas and definitions, a line each.
    """
    folder = (definitions or SHIPPED_DEFINITIONS).absolute()
    if not folder.is_dir():
        raise SettingError(f"definitions: {folder} is not a folder; TIDEMARK_DEFINITIONS names the folder of the definitions")
    problems = Problems()
    found = read(folder, problems)
    try:
        schema_set = SchemaSet.load(schemas or _SHIPPED_SCHEMAS)
    except DefinitionError as error:
        raise DefinitionError([*problems.lines, *error.problems]) from error
    if not problems.lines and not any(isinstance(declared.value, FeatureView | FeatureService) for declared in found.declared):
        problems.lines.append(
            f"definitions: {shown(folder)} declares no feature view; assign a FeatureView to a variable in a .py file of it"
        )
    return analyse(found, schema_set, problems)


def view_named(plan: Plan, name: str, *, where: str = "") -> ViewPlan:
    """A feature view of the plan; `where` begins the refusal. Raises SettingError when there is none of the name."""
    if name not in plan.views:
        near = did_you_mean(name, sorted(plan.views)) if plan.views else "there are none"
        raise SettingError(f'{where}no feature view is named "{name}"; {near}')
    return plan.views[name]


def service_named(name: str, plan: Plan) -> ServicePlan:
    """A feature service of the definitions.

    Raises:
        SettingError: There is none of that name.
    """
    if name not in plan.services:
        raise SettingError(
            f'no feature service is named "{name}"; {did_you_mean(name, sorted(plan.services)) if plan.services else "there are none"}'
        )
    return plan.services[name]


@dataclass(frozen=True, kw_only=True)
class _Variable:
    name: str
    file: str
    value: object
    imported: bool


def read(folder: Path, problems: Problems) -> Definitions:
    """Import the modules of a folder as one package under a private name, and find the definitions among their variables.

    An object belongs to the module that assigns it; importing it elsewhere, under any name, declares nothing. One that comes from outside
    the folder belongs to the first module that imports it.
    """
    modules = list(_modules(folder, problems))
    problems.lines += [line for path, _ in modules for line in _written_twice(path)]
    variables = [variable for path, module in modules for variable in _variables(path, module)]
    owned: dict[int, Declared] = {}
    for variable in sorted(variables, key=lambda variable: variable.imported):
        if not isinstance(variable.value, _KINDS):
            continue
        declared = Declared(name=variable.name, file=variable.file, value=variable.value)
        other = owned.setdefault(id(variable.value), declared)
        if other is not declared and not variable.imported and other.file == declared.file:
            problems.add(declared, f'is the same object as "{other.name}"; a {type(variable.value).__name__} has one name')
    return Definitions(declared=tuple(owned.values()))


def shown(path: Path) -> str:
    """A path as errors name it: relative to the working directory when below it, or to the project."""
    for base in (Path.cwd(), Path(__file__).parent.parent):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return str(path)


def _modules(folder: Path, problems: Problems) -> Iterator[tuple[Path, ModuleType]]:
    package = f"_tidemark_definitions_{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
    with _fresh(package):
        for path in sorted(folder.rglob("*.py"), key=lambda path: (path.name != "__init__.py", path)):
            parts = path.relative_to(folder).with_suffix("").parts
            if (len(parts) > 1 and parts[0] == TESTS) or any(part.startswith(".") or part == "__pycache__" for part in parts):
                continue
            if not all(part.isidentifier() for part in parts):
                problems.lines.append(f"{shown(path)}: the path is not a module's; allowed are letters, digits and _, not first a digit")
                continue
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            try:
                if package not in sys.modules:
                    _import_package(package, folder)
                yield path, importlib.import_module(".".join((package, *parts)))
            except (Exception, SystemExit) as error:  # a definition may raise anything
                for line in _import_faults(error, folder, package, path):
                    if line not in problems.lines:
                        problems.lines.append(line)


@contextmanager
def _fresh(package: str) -> Iterator[None]:
    """Nothing is kept from an earlier load, and no bytecode is left in the user's folder."""
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _import_package(package: str, folder: Path) -> None:
    init = folder / "__init__.py"
    if not init.is_file():
        module = ModuleType(package)
        module.__path__ = [str(folder)]
        sys.modules[package] = module
        return
    spec = importlib.util.spec_from_file_location(package, init, submodule_search_locations=[str(folder)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        module = ModuleType(package)
        module.__path__ = [str(folder)]
        sys.modules[package] = module
        raise


def _written_twice(path: Path) -> Iterator[str]:
    """What Python takes without a word, and loses the first of: a key twice in one dictionary, a definition's name twice in one module."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        keys = node.keys if isinstance(node, ast.Dict) else []
        words = [(key.value, key.lineno) for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
        for number, (word, line) in enumerate(words):
            if word in (earlier for earlier, _ in words[:number]):
                yield f'{shown(path)}:{line}: "{word}" is twice in one dictionary; the first would be lost'
    names: dict[str, int] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call) and _callee(statement.value) in _WORDS:
            for target in statement.targets:
                if isinstance(target, ast.Name) and names.setdefault(target.id, statement.lineno) != statement.lineno:
                    yield f"{shown(path)}:{statement.lineno}: {target.id} is also declared in line {names[target.id]}, which would be lost"


def _callee(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""


def _variables(path: Path, module: ModuleType) -> Iterator[_Variable]:
    nodes = list(ast.walk(ast.parse(path.read_bytes())))
    imported = {alias.asname or alias.name for node in nodes if isinstance(node, ast.ImportFrom | ast.Import) for alias in node.names}
    assigned = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for name, value in vars(module).items():
        yield _Variable(name=name, file=shown(path), value=value, imported=name in imported or ("*" in imported and name not in assigned))


def _import_faults(error: BaseException, folder: Path, package: str, path: Path) -> list[str]:
    """What an import raised, a line each, at the innermost place in the folder."""
    places = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    inside = [place for place in places if place[0].is_relative_to(folder)]
    file, line = inside[-1] if inside else (path, None)
    if isinstance(error, SyntaxError) and error.filename:
        return [f"{shown(Path(error.filename))}:{error.lineno}: {type(error).__name__}: {error.msg}"]
    at = f"{shown(file)}:{line}" if line else shown(file)
    if isinstance(error, DefinitionError):
        return [f"{at}: {problem}" for problem in error.problems]
    return [f"{at}: {_reason(error, package)}"]


def _reason(error: BaseException, package: str) -> str:
    text = " ".join(str(error).split()).replace(".__init__()", "()")
    missing = _CANNOT_IMPORT.match(text)
    if missing:
        shown_module = missing["module"].removeprefix(package)
        known = (
            [name for name in vars(sys.modules[missing["module"]]) if not name.startswith("_")] if missing["module"] in sys.modules else []
        )
        return f'no "{missing["name"]}" in {shown_module or "."}' + (f"; {did_you_mean(missing['name'], known)}" if known else "")
    return f"{type(error).__name__}: {text.replace(package, '')}" if text else type(error).__name__
