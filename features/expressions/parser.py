"""Reads the expression language: sqlglot's syntax tree → typed nodes; what is not surely equal in every engine is refused."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

import sqlglot
from sqlglot import exp

from features.expressions.operations import Node
from schemas.errors import DefinitionError
from schemas.types import DataType

_MAX_TEXT = 4096
_MAX_NODES = 256
_INT64_MAX = 2**63 - 1

_ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "add", exp.Sub: "subtract", exp.Mul: "multiply"}
_EQUALITY: dict[type[exp.Expr], str] = {exp.EQ: "equal", exp.NEQ: "not_equal"}
_ORDER: dict[type[exp.Expr], str] = {exp.LT: "less", exp.LTE: "less_equal", exp.GT: "greater", exp.GTE: "greater_equal"}
_LOGIC: dict[type[exp.Expr], str] = {exp.And: "and", exp.Or: "or"}
_PARTS = {"YEAR": "year", "MONTH": "month", "DAY": "day", "DAYOFWEEK": "day_of_week", "DOW": "day_of_week"} | {
    name.upper(): name for name in ("hour", "minute", "second")
}
_PART_CALLS: dict[type[exp.Expr], str] = {
    exp.Year: "YEAR",
    exp.Month: "MONTH",
    exp.Day: "DAY",
    exp.DayOfWeek: "DAYOFWEEK",
    exp.Hour: "HOUR",
    exp.Minute: "MINUTE",
    exp.Second: "SECOND",
}
_ROUNDING: dict[type[exp.Expr], str] = {exp.Floor: "floor", exp.Ceil: "ceil"}
_FUNCTIONS = ("ABS", "CAST", "CEIL", "COALESCE", "DAY", "DAYOFWEEK", "EXTRACT", "FLOOR", "HOUR", "IF", "LENGTH", "MINUTE", "MOD", "MONTH", "NULLIF", "SECOND", "YEAR")  # fmt: skip
_REFUSED = {
    "ROUND": "engines round halves differently; write FLOOR(x + 0.5)",
    "GREATEST": "engines treat null differently; write CASE WHEN",
    "LEAST": "engines treat null differently; write CASE WHEN",
    "UPPER": "engines differ outside ASCII",
    "LOWER": "engines differ outside ASCII",
    "SQRT": "the last digit differs between engines",
    "POWER": "the last digit differs between engines",
    "LN": "the last digit differs between engines",
    "EXP": "the last digit differs between engines",
}
_OTHER_NAMES = {"CEILING": "CEIL", "CHAR_LENGTH": "LENGTH", "WEEKDAY": "DAYOFWEEK", "DAY_OF_WEEK": "DAYOFWEEK"}


def settled(node: Node) -> Node:
    """Double arithmetic, where it leaves arithmetic: null instead of infinity or NaN."""
    return Node(op="finite", type=node.type, nullable=True, args=(node,)) if _may_be_infinite(node) else node


def _may_be_infinite(node: Node) -> bool:
    if node.type is not DataType.FLOAT64:
        return False
    return node.op in ("add", "subtract", "multiply", "divide") or (node.op == "negate" and _may_be_infinite(node.args[0]))


def _node(op: str, type_: DataType, *args: Node, nullable: bool | None = None) -> Node:
    arithmetic = op in ("add", "subtract", "multiply", "divide", "negate")
    args = args if arithmetic else tuple(settled(arg) for arg in args)
    return Node(op=op, type=type_, nullable=any(arg.nullable for arg in args) if nullable is None else nullable, args=args)


def _as_double(node: Node) -> Node:
    if node.type is DataType.FLOAT64:
        return node
    if node.op == "literal":
        return _literal(float(node.value or 0), DataType.FLOAT64)
    return Node(op="null", type=DataType.FLOAT64, nullable=True) if node.op == "null" else _node("double", DataType.FLOAT64, node)


def _literal(value: bool | float | str, type_: DataType) -> Node:
    return Node(op="literal", type=type_, nullable=False, value=value + 0.0 if type_ is DataType.FLOAT64 else value)  # type: ignore[operator]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads expressions over the columns of one owner; see `features.expressions.expression.parse` for the arguments."""

    columns: Mapping[str, DataType]
    nullable: frozenset[str]
    where: str
    owner: str

    def read(self, text: str) -> Node:
        """Parse and type a text.

        Raises:
            DefinitionError: With one line.
        """
        if not isinstance(text, str):
            self._refuse(f"an expression is text, got {type(text).__name__}")
        if len(text) > _MAX_TEXT:
            self._refuse(f"the expression is {len(text)} characters long; at most {_MAX_TEXT} are allowed")
        try:
            node = self._node(_parse(text))
        except sqlglot.errors.SqlglotError as error:
            self._refuse(f"cannot parse {_quote(text)}: {_reason(error)}")
        except RecursionError:
            self._refuse(f"the expression {_quote(text[:40] + '…')} is nested too deeply")
        if node.op == "null":
            self._refuse("the expression is NULL and so says nothing")
        if _size(node) > _MAX_NODES:
            self._refuse(
                f"the expression {_quote(text[:40] + '…')} has {_size(node)} operations when written out; at most {_MAX_NODES} are allowed"
            )
        return node

    def _refuse(self, what: str) -> NoReturn:
        raise DefinitionError(f"{self.where}: {what}")

    def _node(self, tree: exp.Expr) -> Node:
        if tree.args.get("negate"):
            return _node("not", DataType.BOOLEAN, self._positive(tree))
        return self._positive(tree)

    def _positive(self, tree: exp.Expr) -> Node:
        for kind, read, allowed in _READERS:
            if isinstance(tree, kind):
                extra = [name for name, value in tree.args.items() if value and name not in (*allowed, "negate")]
                if extra:
                    self._refuse(f"{_quote(tree.sql())} is not part of the expression language")
                return read(self, tree)
        return self._refuse_call(tree)

    def _refuse_call(self, tree: exp.Expr) -> NoReturn:
        if not isinstance(tree, exp.Func):
            self._refuse(f"{_quote(tree.sql())} is not part of the expression language")
        if isinstance(tree, exp.AggFunc):
            self._refuse(f"{_quote(tree.sql())} aggregates; an expression is over one event")
        name = tree.name.upper() if isinstance(tree, exp.Anonymous) else tree.sql_name().upper()
        name = "POWER" if name == "POW" else name
        if name in _REFUSED:
            self._refuse(f"{name} is refused: {_REFUSED[name]}")
        known = [_OTHER_NAMES[name]] if name in _OTHER_NAMES else difflib.get_close_matches(name, _FUNCTIONS, n=1)
        self._refuse(f"no function {name}; " + (f"did you mean {known[0]}?" if known else f"there are {', '.join(_FUNCTIONS)}"))

    def _number(self, tree: exp.Expr, operation: str) -> Node:
        node = self._node(tree)
        if not node.type.is_numeric or node.op == "null":
            self._refuse(f"{operation} needs a number, got {_described(node)}")
        return node

    def _of(self, tree: exp.Expr, type_: DataType, operation: str) -> Node:
        node = self._node(tree)
        if node.type is not type_ or node.op == "null":
            self._refuse(f"{operation} needs {_article(type_)}, got {_described(node)}")
        return node

    def _unify(self, nodes: Sequence[Node], operation: str) -> list[Node]:
        """All nodes in one type; ints become doubles beside doubles; nulls take the type of the others."""
        types = {node.type for node in nodes if node.op != "null"}
        if not types:
            self._refuse(f"{operation} has only NULL and so no type")
        target = DataType.FLOAT64 if types == {DataType.INT64, DataType.FLOAT64} else min(types)
        if len(types) > 1 and types != {DataType.INT64, DataType.FLOAT64}:
            self._refuse(f"{operation} mixes {' and '.join(sorted(types))}")
        return [
            Node(op="null", type=target, nullable=True) if node.op == "null" else _as_double(node) if target is DataType.FLOAT64 else node
            for node in nodes
        ]

    def _paren(self, tree: exp.Expr) -> Node:
        return self._node(tree.this)

    def _column(self, tree: exp.Expr) -> Node:
        name = tree.name
        if name not in self.columns:
            near = difflib.get_close_matches(name, self.columns, n=1) or [c for c in self.columns if c.lower() == name.lower()]
            self._refuse(
                f"{self.owner} has no column {_quote(name)}; "
                + (f"did you mean {_quote(near[0])}?" if near else f"it has {', '.join(self.columns)}")
            )
        return Node(op="column", type=self.columns[name], nullable=name in self.nullable, value=name)

    def _constant(self, tree: exp.Expr) -> Node:
        if isinstance(tree, exp.Null):
            return Node(op="null", type=DataType.BOOLEAN, nullable=True)
        if isinstance(tree, exp.Boolean):
            return _literal(bool(tree.this), DataType.BOOLEAN)
        if tree.is_string:
            return _literal(str(tree.this), DataType.STRING)
        digits = str(tree.this)
        if digits.isdigit():
            if int(digits) > _INT64_MAX:
                self._refuse(f"{digits} does not fit int64")
            return _literal(int(digits), DataType.INT64)
        try:
            value = float(digits)
        except ValueError:
            self._refuse(f"{_quote(digits)} is not a number")
        if value in (float("inf"), float("-inf")):
            self._refuse(f"{digits} does not fit float64")
        return _literal(value, DataType.FLOAT64)

    def _arithmetic(self, tree: exp.Expr) -> Node:
        operation = _symbol(tree)
        left, right = self._node(tree.this), self._node(tree.expression)
        if DataType.TIMESTAMP in (left.type, right.type):
            self._refuse(
                f"{operation} of timestamps is refused: engines count it differently; compare them, or take HOUR, MINUTE … of them"
            )
        for node in (left, right):
            if not node.type.is_numeric or node.op == "null":
                self._refuse(f"{operation} needs numbers, got {_described(node)}")
        if isinstance(tree, exp.Div):
            return _node("divide", DataType.FLOAT64, _as_double(left), _as_double(right), nullable=True)
        if isinstance(tree, exp.Mod):
            if DataType.FLOAT64 in (left.type, right.type):
                self._refuse("% of doubles is refused; it is for int64")
            return _node("modulo", DataType.INT64, left, right, nullable=True)
        left, right = self._unify((left, right), operation)
        return _node(_ARITHMETIC[type(tree)], left.type, left, right)

    def _negate(self, tree: exp.Expr) -> Node:
        node = self._number(tree.this, "-")
        if node.op == "literal" and isinstance(node.value, (int, float)):
            return _literal(-node.value, node.type)
        return _node("negate", node.type, node)

    def _compare(self, tree: exp.Expr) -> Node:
        return self._comparison(_EQUALITY.get(type(tree)) or _ORDER[type(tree)], _symbol(tree), tree.this, tree.expression)

    def _comparison(self, op: str, symbol: str, first: exp.Expr | Node, second: exp.Expr | Node) -> Node:
        left, right = (side if isinstance(side, Node) else self._node(side) for side in (first, second))
        if "null" in (left.op, right.op):
            self._refuse(f"{symbol} NULL is never true; write IS NULL or IS NOT NULL")
        if left.type is not right.type and not (left.type.is_numeric and right.type.is_numeric):
            self._refuse(f"{symbol} cannot compare {_described(left)} with {_described(right)}")
        if left.type is DataType.BYTES or (left.type is DataType.BOOLEAN and op not in ("equal", "not_equal")):
            self._refuse(f"{symbol} is not for {left.type}")
        return _node(op, DataType.BOOLEAN, *self._unify((left, right), symbol))

    def _between(self, tree: exp.Expr) -> Node:
        value = self._node(tree.this)
        bounds = (("greater_equal", tree.args["low"]), ("less_equal", tree.args["high"]))
        return _node("and", DataType.BOOLEAN, *(self._comparison(op, "BETWEEN", value, bound) for op, bound in bounds))

    def _logic(self, tree: exp.Expr) -> Node:
        sides = [self._of(side, DataType.BOOLEAN, _symbol(tree)) for side in (tree.this, tree.expression)]
        return _node(_LOGIC[type(tree)], DataType.BOOLEAN, *sides)

    def _not(self, tree: exp.Expr) -> Node:
        return _node("not", DataType.BOOLEAN, self._of(tree.this, DataType.BOOLEAN, "NOT"))

    def _is(self, tree: exp.Expr) -> Node:
        if isinstance(tree.expression, exp.Null):
            return _node("is_null", DataType.BOOLEAN, self._node(tree.this), nullable=False)
        if isinstance(tree.expression, exp.Boolean):
            op = "is_true" if tree.expression.this else "is_false"
            return _node(op, DataType.BOOLEAN, self._of(tree.this, DataType.BOOLEAN, "IS"), nullable=False)
        return self._refuse("IS is followed by NULL, TRUE or FALSE")

    def _in(self, tree: exp.Expr) -> Node:
        value, members = self._node(tree.this), [self._node(member) for member in tree.expressions]
        if any(member.op != "literal" for member in members):
            self._refuse("IN is followed by constants other than NULL")
        nodes = self._unify((value, *members), "IN")
        if nodes[0].type not in (DataType.INT64, DataType.STRING, DataType.TIMESTAMP):
            self._refuse(f"IN is for int64, string and timestamp, not for {nodes[0].type}; write it with = and OR, or BETWEEN")
        return _node("in", DataType.BOOLEAN, *nodes)

    def _like(self, tree: exp.Expr) -> Node:
        value, pattern = self._of(tree.this, DataType.STRING, "LIKE"), self._of(tree.expression, DataType.STRING, "LIKE")
        if pattern.op != "literal" or "\\" in str(pattern.value):
            self._refuse("LIKE is followed by a constant pattern without backslashes")
        return Node(op="like", type=DataType.BOOLEAN, nullable=value.nullable, args=(value,), value=pattern.value)

    def _case(self, tree: exp.Expr) -> Node:
        subject = None if tree.this is None else self._node(tree.this)
        whens = [
            self._of(branch.this, DataType.BOOLEAN, "WHEN") if subject is None else self._comparison("equal", "CASE", subject, branch.this)
            for branch in tree.args["ifs"]
        ]
        default = tree.args.get("default")
        return self._choice(whens, [branch.args["true"] for branch in tree.args["ifs"]], default, "CASE")

    def _if(self, tree: exp.Expr) -> Node:
        return self._choice([self._of(tree.this, DataType.BOOLEAN, "IF")], [tree.args["true"]], tree.args.get("false"), "IF")

    def _choice(self, whens: Sequence[Node], thens: Sequence[exp.Expr], default: exp.Expr | None, operation: str) -> Node:
        otherwise = Node(op="null", type=DataType.BOOLEAN, nullable=True) if default is None else self._node(default)
        values = self._unify([*(self._node(then) for then in thens), otherwise], operation)
        pairs = [node for pair in zip(whens, values[:-1], strict=True) for node in pair]
        return _node("case", values[0].type, *pairs, values[-1], nullable=any(value.nullable for value in map(settled, values)))

    def _nullif(self, tree: exp.Expr) -> Node:
        value = self._node(tree.this)
        equal = self._comparison("equal", "NULLIF", value, tree.expression)
        return _node("case", value.type, equal, Node(op="null", type=value.type, nullable=True), value)

    def _coalesce(self, tree: exp.Expr) -> Node:
        values = [settled(value) for value in self._unify([self._node(arg) for arg in (tree.this, *tree.expressions)], "COALESCE")]
        return _node("coalesce", values[0].type, *values, nullable=all(value.nullable for value in values))

    def _abs(self, tree: exp.Expr) -> Node:
        node = self._number(tree.this, "ABS")
        return _node("abs", node.type, node)

    def _rounding(self, tree: exp.Expr) -> Node:
        op = _ROUNDING[type(tree)]
        node = self._number(tree.this, op.upper())
        return node if node.type is DataType.INT64 else _node(op, DataType.FLOAT64, node)

    def _concat(self, tree: exp.Expr) -> Node:
        return _node("concat", DataType.STRING, *(self._of(side, DataType.STRING, "||") for side in (tree.this, tree.expression)))

    def _length(self, tree: exp.Expr) -> Node:
        return _node("length", DataType.INT64, self._of(tree.this, DataType.STRING, "LENGTH"))

    def _part(self, tree: exp.Expr) -> Node:
        name, time = (tree.this.name.upper(), tree.expression) if isinstance(tree, exp.Extract) else (_PART_CALLS[type(tree)], tree.this)
        if name not in _PARTS:
            self._refuse(f"EXTRACT has no part {name}; there are {', '.join(_PARTS)}")
        return _node(_PARTS[name], DataType.INT64, self._of(time, DataType.TIMESTAMP, name))

    def _cast(self, tree: exp.Expr) -> Node:
        target = tree.args["to"].this
        if target in (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ) and tree.this.is_string:
            return _literal(self._time(str(tree.this.this)), DataType.TIMESTAMP)
        node = self._node(tree.this)
        if target is not exp.DType.DOUBLE or not node.type.is_numeric or node.op == "null":
            self._refuse(f"CAST is for int64 to DOUBLE only, got {_described(node)} to {target.value}")
        return _as_double(node)

    def _time(self, text: str) -> int:
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            self._refuse(f"TIMESTAMP {_quote(text)} is not a time; write TIMESTAMP '2013-10-01 06:30:00' (UTC)")
        elapsed = (time if time.tzinfo else time.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
        return (elapsed.days * 86_400 + elapsed.seconds) * 1000 + elapsed.microseconds // 1000


_READERS: tuple[tuple[type[exp.Expr] | tuple[type[exp.Expr], ...], Callable[[Reader, exp.Expr], Node], tuple[str, ...]], ...] = (
    (exp.Paren, Reader._paren, ("this",)),
    (exp.Column, Reader._column, ("this",)),
    ((exp.Literal, exp.Boolean, exp.Null), Reader._constant, ("this", "is_string")),
    ((exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod), Reader._arithmetic, ("this", "expression")),
    (exp.Neg, Reader._negate, ("this",)),
    ((*_EQUALITY, *_ORDER), Reader._compare, ("this", "expression")),
    (exp.Between, Reader._between, ("this", "low", "high")),
    ((exp.And, exp.Or), Reader._logic, ("this", "expression")),
    (exp.Not, Reader._not, ("this",)),
    (exp.Is, Reader._is, ("this", "expression")),
    (exp.In, Reader._in, ("this", "expressions")),
    (exp.Like, Reader._like, ("this", "expression")),
    (exp.Case, Reader._case, ("this", "ifs", "default")),
    (exp.If, Reader._if, ("this", "true", "false")),
    (exp.Nullif, Reader._nullif, ("this", "expression")),
    (exp.Coalesce, Reader._coalesce, ("this", "expressions")),
    (exp.Abs, Reader._abs, ("this",)),
    ((exp.Floor, exp.Ceil), Reader._rounding, ("this",)),
    (exp.DPipe, Reader._concat, ("this", "expression", "safe")),
    (exp.Length, Reader._length, ("this",)),
    ((exp.Extract, *_PART_CALLS), Reader._part, ("this", "expression")),
    (exp.Cast, Reader._cast, ("this", "to")),
)


def _parse(text: str) -> exp.Expr:
    return sqlglot.parse_one(text, into=exp.Condition)


def _reason(error: Exception) -> str:
    faults = getattr(error, "errors", None)
    if not faults:
        return "a quote is not closed" if isinstance(error, sqlglot.errors.TokenError) else "it is empty"
    fault = faults[0]
    if str(fault["description"]).startswith("Required keyword"):
        return f"something is missing at character {fault['col']}"
    return f"unexpected {_quote(str(fault['highlight']))} at character {fault['col'] - len(str(fault['highlight'])) + 1}"


def _size(node: Node) -> int:
    """The number of operations once written out: some are written twice."""
    twice = 2 if node.op in ("finite", "floor", "ceil", "coalesce") else 1
    return 1 + twice * sum(_size(arg) for arg in node.args)


def _symbol(tree: exp.Expr) -> str:
    names: dict[type[exp.Expr], str] = {
        exp.Add: "+",
        exp.Sub: "-",
        exp.Mul: "*",
        exp.Div: "/",
        exp.Mod: "%",
        exp.EQ: "=",
        exp.NEQ: "<>",
        exp.LT: "<",
        exp.LTE: "<=",
        exp.GT: ">",
    }
    names |= {exp.GTE: ">=", exp.And: "AND", exp.Or: "OR"}
    return names[type(tree)]


def _described(node: Node) -> str:
    if node.op == "null":
        return "NULL"
    return f"{node.type} column {_quote(str(node.value))}" if node.op == "column" else str(node.type)


def _article(type_: DataType) -> str:
    return f"an {type_}" if type_ is DataType.INT64 else f"a {type_}"


def _quote(text: str) -> str:
    return f'"{text}"'
