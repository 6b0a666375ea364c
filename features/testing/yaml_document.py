"""YAML with the line of every key, read as YAML 1.2's core schema: `no` is text, `10:30` is text, and a time is text until somebody needs it."""

from __future__ import annotations

import re
from typing import Any

import yaml

from schemas.errors import DefinitionError

_NUMBERS = ((re.compile(r"[-+]?[0-9]+"), int), (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float))
_WORDS = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
    ".nan": float("nan"),
    ".inf": float("inf"),
    "-.inf": float("-inf"),
}


class Section(dict[str, Any]):
    """A mapping that knows its lines.

    Attributes:
        line: Where it begins.
        lines: Key → its line.
    """

    def __init__(self, line: int) -> None:
        """Begin empty."""
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


def read_document(text: str, file: str) -> Any:
    """The one document of a file; mappings are `Section`s.

    Raises:
        DefinitionError: It is no YAML, or a mapping has a key twice, which YAML forbids and most readers overlook; a line each.
    """
    problems: list[str] = []
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        value = None if node is None else _value(node, file, problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DefinitionError(f"{file}:{mark.line + 1 if mark else 1}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise DefinitionError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise DefinitionError(f"{file}: not YAML that ends: it is nested too deeply, or in itself") from None
    if problems:
        raise DefinitionError(problems)
    return value


def _value(node: yaml.Node, file: str, problems: list[str]) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, file, problems) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        section = Section(node.start_mark.line + 1)
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in section:
                problems.append(f'{file}:{line}: "{key}" is also in line {section.lines[key]}, which would be lost')
            section[key], section.lines[key] = _value(value_node, file, problems), line
        return section
    assert isinstance(node, yaml.ScalarNode)
    return node.value if node.style is not None else _scalar(node.value)


def _scalar(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    return next((number(text) for pattern, number in _NUMBERS if pattern.fullmatch(text)), text)
