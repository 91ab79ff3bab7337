"""Of what kind each expression of a SELECT is: what follows from the contracts' types by PostgreSQL's rules.

As much as has to be known so that every warehouse computes the same; no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from dataops.declared.select import WRITTEN_IN, SelectError, line_of

SCALE = 16
KIND = "dataops kind"  # where a node keeps its kind
Columns = Mapping[str, "Kind"]
Schema = Mapping[str, Columns]  # table -> column -> kind


@dataclass(frozen=True)
class Kind:
    """What a value is: int, big, dec (with its decimals), text, bool, date, timestamp, interval, float or null."""

    name: str
    scale: int = 0

    @property
    def is_number(self) -> bool:
        return self.is_whole or self.name == "dec"

    @property
    def is_whole(self) -> bool:
        return self.name in {"int", "big"}


INT, BIG, TEXT, BOOL, DATE, TIME, SPAN, FLOAT, NULL = (
    Kind(name) for name in ("int", "big", "text", "bool", "date", "timestamp", "interval", "float", "null")
)
_TYPES = {
    exp.DType.SMALLINT: INT, exp.DType.INT: INT, exp.DType.BIGINT: BIG, exp.DType.VARCHAR: TEXT, exp.DType.TEXT: TEXT,
    exp.DType.BOOLEAN: BOOL, exp.DType.DATE: DATE, exp.DType.TIMESTAMP: TIME, exp.DType.INTERVAL: SPAN,
    exp.DType.DOUBLE: FLOAT,
}  # fmt: skip
_TRUTHS = (
    exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.NullSafeEQ,
    exp.NullSafeNEQ, exp.Between, exp.In, exp.Like, exp.ILike, exp.Escape, exp.RegexpLike, exp.RegexpILike,
    exp.Boolean, exp.Exists, exp.StartsWith, exp.LogicalAnd, exp.LogicalOr,
)  # fmt: skip
_TEXTS = (
    exp.Lower, exp.Upper, exp.Trim, exp.Substring, exp.Replace, exp.Concat, exp.ConcatWs, exp.Left, exp.Right, exp.Pad,
    exp.Translate, exp.Chr, exp.Repeat, exp.Reverse, exp.SplitPart, exp.DPipe, exp.GroupConcat,
)  # fmt: skip
_INTS = (exp.Ntile, exp.Length, exp.StrPosition, exp.Ascii, exp.Grouping)
_BIGS = (exp.Count, exp.RowNumber, exp.Rank, exp.DenseRank)
_SAME = (  # of the kind of their first argument, or of the widest of all
    exp.Paren, exp.Neg, exp.Abs, exp.Min, exp.Max, exp.Nullif, exp.Window, exp.Filter, exp.Lead, exp.Lag,
    exp.FirstValue, exp.LastValue, exp.NthValue, exp.Distinct, exp.Subquery, exp.Alias, exp.Ordered,
)  # fmt: skip
_FLOATS = (
    exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop, exp.Corr, exp.PercentileCont, exp.Sqrt,
    exp.Pow, exp.Exp, exp.Ln, exp.PercentRank, exp.CumeDist, exp.WithinGroup, exp.PercentileDisc,
)  # fmt: skip


def kind_of(data_type: str, scale: int | None = None) -> Kind:
    """Of a contract's column."""
    if data_type == "numeric":
        return Kind("dec", scale or 0)
    return {"varchar": TEXT, "boolean": BOOL, "date": DATE, "timestamp": TIME, "bigint": BIG}.get(data_type, INT)


class Kinds:
    """The kind of every expression of a SELECT."""

    def __init__(self, tree: exp.Query, schema: Schema) -> None:
        self._schema = schema
        self._known: dict[int, Kind | None] = {}
        self._keep: list[exp.Expression] = []  # ids stay those of these nodes
        self._scope_of: dict[int, Scope] = {}
        self._reading: set[int] = set()  # set operations that are being looked at
        for scope in traverse_scope(tree):
            for node in scope.walk():
                self._scope_of.setdefault(id(node), scope)
        self._counted = {  # aliases of rows that are counted out
            node.alias: [column.name for column in node.args["alias"].args.get("columns") or ()] or [node.alias]
            for node in tree.find_all(exp.Table, exp.Lateral)
            if isinstance(node.this, exp.GenerateSeries | exp.ExplodingGenerateSeries) and node.args.get("alias")
        }

    def of(self, node: exp.Expression) -> Kind | None:
        """None where it is not known."""
        if KIND in node.meta:
            found: Kind | None = node.meta[KIND]
            return found
        if id(node) not in self._known:
            self._known[id(node)] = None  # of a recursive query
            self._known[id(node)] = self._found(node)
            self._keep.append(node)
        return self._known[id(node)]

    def known_kind(self, node: exp.Expression) -> Kind:
        """Raises SelectError where it is not known."""
        found = self.of(node)
        if found is None:
            says = f"the type of `{node.sql(dialect=WRITTEN_IN)}` is not known here; write CAST(… AS …)"
            raise SelectError(says, line_of(node))
        return found

    def _found(self, node: exp.Expression) -> Kind | None:  # noqa: PLR0911  one line per family of expressions
        if isinstance(node, exp.Column):
            return self._column(node)
        if isinstance(node, exp.Literal):
            return TEXT if node.is_string else _of_number(node.this)
        if isinstance(node, exp.Cast):
            return type_of(node.to)
        for kind, classes in ((BOOL, _TRUTHS), (TEXT, _TEXTS), (INT, _INTS), (BIG, _BIGS), (FLOAT, _FLOATS)):
            if isinstance(node, classes):
                return kind
        if isinstance(node, exp.Null):
            return NULL
        if isinstance(node, _SAME):
            return self._first(node)
        if special := _SPECIAL.get(type(node)):
            return special(self, node)
        return None

    def _first(self, node: exp.Expression) -> Kind | None:
        inner = node.this
        if isinstance(node, exp.Distinct):
            return self.of(node.expressions[0]) if len(node.expressions) == 1 else None
        if isinstance(inner, exp.Query):
            return self.of(inner.selects[0]) if len(inner.selects) == 1 else None
        return self.of(inner) if isinstance(inner, exp.Expression) else None

    def widest(self, nodes: list[exp.Expression]) -> Kind | None:
        """Of values of which one is chosen: decimals of the most decimals, if numbers."""
        found = [self.of(node) for node in nodes if not isinstance(node, exp.Null)]
        known = [kind for kind in found if kind is not None and kind != NULL]
        if not known or len(known) < len(found):
            return None if len(known) < len(found) else NULL
        if all(kind.is_number for kind in known):
            return max(known, key=_width)
        return known[0] if len(set(known)) == 1 else None

    def _column(self, node: exp.Column) -> Kind | None:
        if node.name in self._counted.get(node.table, ()) or (not node.table and node.name in self._any_counted):
            return INT
        scope, unsure = self._scope_of.get(id(node)), False
        while scope is not None:
            for columns in self._within(scope, node.table):
                if columns and node.name in columns:
                    return columns[node.name]
                unsure = unsure or columns is None
            projected = {p.alias: p for p in getattr(scope.expression, "selects", ()) if p.alias}
            if not node.table and node.name in projected and node.find_ancestor(exp.Order, exp.Group):
                return self.of(projected[node.name])
            unsure = unsure or bool(scope.expression.args.get("laterals"))
            scope = scope.parent
        if unsure:
            return None
        where = f"{node.table}." if node.table else ""
        raise SelectError(f"no column {where}{node.name}", line_of(node))

    @property
    def _any_counted(self) -> set[str]:
        return {name for names in self._counted.values() for name in names}

    def _within(self, scope: Scope, table: str) -> Iterator[Mapping[str, Kind | None] | None]:
        """Columns of the scope's sources, or of the named one."""
        for name, pair in scope.selected_sources.items():
            if table in {"", name}:
                yield self._source(pair)
        if isinstance(scope.expression, exp.SetOperation):
            yield dict(self._projections(scope))

    def _source(self, pair: tuple[exp.Expression, exp.Table | Scope]) -> Mapping[str, Kind | None] | None:
        """Columns of a table, a WITH query or a subquery; None where they cannot be known."""
        node, source = pair
        alias = node.args.get("alias")
        renamed = [column.name for column in alias.args.get("columns") or ()] if alias else []
        if isinstance(source, Scope):
            inner = source.expression
            found = dict(self._projections(source)) if isinstance(inner, exp.Query) else None
        else:
            found = dict(self._schema[source.name]) if source.name in self._schema else None
        if found is not None and renamed:
            found = dict(zip([*renamed, *list(found)[len(renamed) :]], found.values(), strict=False))
        return found

    def _projections(self, scope: Scope) -> Iterator[tuple[str, Kind | None]]:
        query = scope.expression
        if isinstance(query, exp.SetOperation):
            yield from self._both(scope)
            return
        for projection in query.selects:
            if projection.is_star:
                yield from self._star(projection, scope)
            else:
                yield projection.alias_or_name, self.of(projection)

    def _both(self, scope: Scope) -> Iterator[tuple[str, Kind | None]]:
        """Of a set operation: the wider of both. A recursive query reads itself, of which its first part is known."""
        first, second = scope.set_operation_scopes
        left = list(self._projections(first))
        if id(scope) in self._reading:
            yield from left
            return
        self._reading.add(id(scope))
        right = list(self._projections(second))
        self._reading.discard(id(scope))
        for (name, one), (_, other) in zip(left, right, strict=False):
            yield name, one if other in {one, NULL} else other if one == NULL else _wider(one, other)

    def _star(self, star: exp.Expression, scope: Scope) -> Iterator[tuple[str, Kind | None]]:
        table = star.table if isinstance(star, exp.Column) else ""
        for name, pair in scope.selected_sources.items():
            if table in {"", name}:
                columns = self._source(pair)
                if columns is None:
                    raise SelectError(
                        f"the columns of {name} are not known here; name them instead of *", line_of(star)
                    )
                yield from columns.items()


def _wider(one: Kind | None, other: Kind | None) -> Kind | None:
    if one is not None and other is not None and one.is_number and other.is_number:
        return max((one, other), key=_width)
    return None


def _width(kind: Kind) -> tuple[int, int]:
    return ("int", "big", "dec").index(kind.name), kind.scale


def _of_number(text: str) -> Kind:
    _, point, decimals = text.partition(".")
    if point:
        return Kind("dec", len(decimals))
    return INT if int(text) < 1 << 31 else BIG if int(text) < 1 << 63 else Kind("dec", 0)


def type_of(to: exp.DataType) -> Kind | None:
    """Of what kind a cast to this type makes a value; None for a type that is not known."""
    if to.this == exp.DType.DECIMAL:
        return Kind("dec", int(to.expressions[1].name))
    return _TYPES.get(to.this)


def _sum(kinds: Kinds, node: exp.Expression) -> Kind | None:
    """Of + and -: numbers, or a date and days or an interval."""
    left, right = kinds.of(node.this), kinds.of(node.expression)
    if left is None or right is None:
        return None
    if left.is_number and right.is_number:
        return _wider(left, right)
    if FLOAT in {left, right}:
        return FLOAT
    moments = {left, right} & {DATE, TIME}
    if left == right == DATE and isinstance(node, exp.Sub):
        return INT
    if DATE in moments and (left.is_whole or right.is_whole):
        return DATE
    if moments and (left.is_number or right.is_number):
        raise SelectError("a date is moved by whole days, a timestamp by an INTERVAL", line_of(node))
    return TIME if moments and SPAN in {left, right} else None


def _product(kinds: Kinds, node: exp.Expression) -> Kind | None:
    left, right = kinds.of(node.this), kinds.of(node.expression)
    if left is None or right is None:
        return None
    if FLOAT in {left, right}:
        return FLOAT
    if not (left.is_number and right.is_number):
        return None
    return _wider(left, right) if left.is_whole and right.is_whole else Kind("dec", left.scale + right.scale)


def _quotient(kinds: Kinds, node: exp.Expression) -> Kind | None:
    left, right = kinds.known_kind(node.this), kinds.known_kind(node.expression)
    if FLOAT in {left, right}:
        return FLOAT
    return _wider(left, right) if left.is_whole and right.is_whole else Kind("dec", SCALE)


def _rest(kinds: Kinds, node: exp.Expression) -> Kind | None:
    left, right = kinds.of(node.this), kinds.of(node.expression)
    return _wider(left, right) if left and right else None


def _total(kinds: Kinds, node: exp.Expression) -> Kind | None:
    """Of small numbers a bigint, of bigints a decimal."""
    inner = kinds.of(node.this)
    return {INT: BIG, BIG: Kind("dec", 0)}.get(inner, inner) if inner else None


def _rounded(kinds: Kinds, node: exp.Expression) -> Kind | None:
    """ROUND and TRUNC to literal decimals; CEIL, FLOOR and SIGN to none."""
    inner, places = kinds.of(node.this), node.args.get("decimals")
    if inner is None or not inner.is_number:
        return inner
    if places is None:
        return Kind("dec", 0)
    if not isinstance(places, exp.Literal):
        raise SelectError("ROUND and TRUNC take a number of decimals that is written down", line_of(node))
    return Kind("dec", min(int(places.name), inner.scale) if inner.name == "dec" else 0)


def choices(case: exp.Expression) -> list[exp.Expression]:
    """What a CASE may result in."""
    default = case.args.get("default")
    return [*(part.args["true"] for part in case.args["ifs"]), *([default] if default else [])]


_SPECIAL: dict[type[exp.Expression], Callable[[Kinds, exp.Expression], Kind | None]] = {
    exp.Add: _sum,
    exp.Sub: _sum,
    exp.Mul: _product,
    exp.Div: _quotient,
    exp.Mod: _rest,
    exp.Round: _rounded,
    exp.Trunc: _rounded,
    exp.Ceil: _rounded,
    exp.Floor: _rounded,
    exp.Sign: lambda kinds, node: Kind("dec", 0),  # noqa: ARG005
    exp.Sum: _total,
    exp.Avg: lambda kinds, node: FLOAT if kinds.of(node.this) == FLOAT else Kind("dec", SCALE),
    exp.Coalesce: lambda kinds, node: kinds.widest([node.this, *node.expressions]),
    exp.Greatest: lambda kinds, node: kinds.widest([node.this, *node.expressions]),
    exp.Least: lambda kinds, node: kinds.widest([node.this, *node.expressions]),
    exp.Case: lambda kinds, node: kinds.widest(choices(node)),
    exp.Extract: lambda kinds, node: Kind("dec", 0),  # noqa: ARG005  PostgreSQL's is a decimal
    exp.TimestampTrunc: lambda kinds, node: TIME,  # noqa: ARG005
    exp.Interval: lambda kinds, node: SPAN,  # noqa: ARG005
    exp.CurrentDate: lambda kinds, node: DATE,  # noqa: ARG005
    exp.CurrentTimestamp: lambda kinds, node: TIME,  # noqa: ARG005
}
