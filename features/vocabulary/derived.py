"""Derived features: a numpy function of a service's other features, kept as its source text so that every engine runs the same one.

Text can be fingerprinted, shown and sent to any worker; a function object could be none of these.
"""

from __future__ import annotations

import ast
import dis
import inspect
import textwrap
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_SAMPLE = np.array([0.0, 1.0, -1.0, np.nan, 2.5, 1e9, 3.0, np.nan, 0.1])
_BUILTINS = {"abs", "bool", "float", "int", "len", "max", "min", "range", "round", "sum", "tuple", "list", "zip", "enumerate"}


@dataclass(frozen=True, kw_only=True)
class DerivedFeature:
    """A double computed from other features of the same row.

    Attributes:
        name: Of the feature.
        function: The name in `source`.
        source: The function's text without comments, as `ast.unparse` writes it.
        modules: What it may call: global name → module, e.g. `np` → `numpy`.
        inputs: The features that it reads: its parameters, in order.
    """

    name: str
    function: str
    source: str
    modules: tuple[tuple[str, str], ...]
    inputs: tuple[str, ...]

    def evaluate(self, columns: Mapping[str, pa.Array[Any] | pa.ChunkedArray[Any]]) -> pa.Array[Any]:
        """The values of a batch: inputs as doubles with NaN for null; what is not finite becomes null."""
        return self.compute([_doubles(columns[name]) for name in self.inputs])

    def compute(self, inputs: list[Doubles]) -> pa.Array[Any]:
        """As `evaluate`, from float64 arrays of one length, which the function may not change."""
        given = [values.view() for values in inputs]
        for values in given:
            values.flags.writeable = False
        with np.errstate(all="ignore"):
            values = np.asarray(_compiled(self.function, self.source, self.modules)(*given), dtype=np.float64)
        if values.shape != inputs[0].shape:
            raise ValueError(f"it returned shape {values.shape} for inputs of shape {inputs[0].shape}; one number for each row is allowed")
        found: pa.Array[Any] = pa.array(values + 0.0, type=pa.float64(), mask=~np.isfinite(values))
        return found


def derived_feature(name: str, function: object) -> DerivedFeature | str:
    """Read a function, or say why it cannot be one. It is run on made-up rows, together and one by one."""
    if not isinstance(function, types.FunctionType):
        return f"must be a function of features, got {type(function).__name__}"
    if function.__name__ == "<lambda>":
        return "is a lambda; write a def, whose text is kept and fingerprinted"
    parameters = inspect.signature(function).parameters.values()
    if not parameters or any(each.kind is not each.POSITIONAL_OR_KEYWORD or each.default is not each.empty for each in parameters):
        return "takes other parameters than plain names of features; each parameter is a feature of the service"
    modules = _modules(function)
    if isinstance(modules, str):
        return modules
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    (body,) = tree.body
    assert isinstance(body, ast.FunctionDef)
    if body.decorator_list:
        return "is decorated; write a plain def"
    _strip(body)
    feature = DerivedFeature(
        name=name,
        function=function.__name__,
        source=ast.unparse(tree),
        modules=modules,
        inputs=tuple(each.name for each in parameters),
    )
    return _fault(feature) or feature


def _modules(function: types.FunctionType) -> tuple[tuple[str, str], ...] | str:
    """The modules that it refers to; nothing else from around it, since its version would not tell when that changed."""
    if function.__code__.co_freevars:
        return f"uses {', '.join(function.__code__.co_freevars)} of the function around it; allowed are its parameters and modules"
    found = {}
    refused = [name for name in _named(function.__code__, "IMPORT_NAME") if not _is_allowed(name)]
    for name in _named(function.__code__, "LOAD_GLOBAL", "LOAD_NAME"):
        value = function.__globals__.get(name)
        if isinstance(value, types.ModuleType) and _is_allowed(value.__name__):
            found[name] = value.__name__
        elif name in function.__globals__ or name not in _BUILTINS:
            refused.append(name)
    if refused:
        return f'uses "{refused[0]}"; allowed are its parameters, numpy, math and plain builtins ({", ".join(sorted(_BUILTINS))})'
    return tuple(found.items())


def _is_allowed(module: str) -> bool:
    return module.partition(".")[0] in ("numpy", "math")


def _named(code: types.CodeType, *operations: str) -> list[str]:
    """The names that its instructions of a kind have, and those of the functions within it, in order."""
    own = {str(each.argval) for each in dis.get_instructions(code) if each.opname in operations}
    return sorted(own.union(*(_named(const, *operations) for const in code.co_consts if isinstance(const, types.CodeType))))


def _strip(body: ast.FunctionDef) -> None:
    """Drop what changes no value: annotations, and the docstring."""
    body.returns = None
    for argument in body.args.args:
        argument.annotation = None
    if len(body.body) > 1 and ast.get_docstring(body) is not None:
        body.body = body.body[1:]


def _fault(feature: DerivedFeature) -> str | None:
    """Why it cannot be evaluated in batches of any size."""
    inputs = [np.roll(_SAMPLE, shift) for shift in range(len(feature.inputs))]
    try:
        together = feature.compute(inputs)
        alone = [feature.compute([values[row : row + 1] for values in inputs])[0] for row in range(len(_SAMPLE))]
    except Exception as error:  # a team's function may raise anything
        return f"fails on a sample of doubles, which it may not change: {type(error).__name__}: {error}"
    if together.to_pylist() != [value.as_py() for value in alone]:
        return "gives a row another value when other rows are beside it; use element-wise operations only"
    return None


@lru_cache(maxsize=256)
def _compiled(function: str, source: str, modules: tuple[tuple[str, str], ...]) -> Any:
    namespace: dict[str, Any] = {alias: import_module(module) for alias, module in modules}
    exec(compile(source, f"<derived feature {function}>", "exec"), namespace)  # as trusted as the definitions that it comes from
    return namespace[function]


def _doubles(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> Doubles:
    array: Any = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    filled = pc.fill_null(array.cast(pa.float64(), safe=False), float("nan"))
    values: Doubles = filled.to_numpy(zero_copy_only=False)
    return values
