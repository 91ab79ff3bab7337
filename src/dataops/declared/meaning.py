"""One meaning on every warehouse: what PostgreSQL's dialect says is computed on DuckDB as well, to the last digit.

DuckDB divides integers into fractions, decimals into floating point, by zero into NULL; averages are floating point;
text is cast leniently. Here such places are found by their types, which follow from the contracts, and written so that
both warehouses compute the same. What cannot be is refused.

A quotient of numbers that are not both whole has `SCALE` decimals, rounded half away from zero, on both warehouses.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlglot
from sqlglot import exp

from dataops.declared.kinds import BIG, DATE, KIND, SCALE, TEXT, TIME, Kind, Kinds, Schema, choices, type_of
from dataops.declared.select import Dialect, SelectError, line_of


def translated(tree: exp.Query, dialect: Dialect, schema: Schema) -> exp.Query:
    """The SELECT so that `dialect` computes what PostgreSQL's dialect says; `tree` stays as it is.

    Raises SelectError for a column that no table has, and where a type has to be known and is not.
    """
    changed = tree.copy()
    kinds = Kinds(changed, schema)
    for node in list(changed.walk()):
        if not node.is_star:
            node.meta[KIND] = kinds.of(node)  # before anything is moved: copies keep it
    # Innermost first: what is around a node that was replaced holds the new one.
    for node in reversed(list(changed.walk(bfs=True))):
        if rewrite := _REWRITES.get(type(node)):
            rewrite(node, kinds, dialect)
    return changed


def _replace(node: exp.Expression, other: exp.Expression) -> None:
    """Puts another expression of the same kind in its place."""
    other.meta[KIND] = node.meta.get(KIND)
    node.replace(other)


def _parsed(sql: str, **parts: exp.Expression) -> exp.Expression:
    """An expression in which each `:name` is one of `parts`."""
    tree = sqlglot.parse_one(sql, read="duckdb")
    for place in list(tree.find_all(exp.Placeholder)):
        place.replace(exp.paren(parts[place.name].copy()))
    return tree


def _never_zero(node: exp.Expression) -> bool:
    node = node.unnest()
    if isinstance(node, exp.Nullif):
        return isinstance(node.expression, exp.Literal) and not node.expression.name.strip("0.")
    return isinstance(node, exp.Literal) and bool(node.name.strip("0."))


def _checked(node: exp.Expression, result: exp.Expression) -> exp.Expression:
    """Something by zero is an error, as on PostgreSQL; nothing by zero is nothing."""
    if _never_zero(node.expression):
        return exp.paren(result)
    zero = "CASE WHEN :d = 0 AND NOT :n IS NULL THEN ERROR('division by zero') ELSE :q END"
    return exp.paren(_parsed(zero, d=node.expression, n=node.this, q=result))


def _divide(node: exp.Expression, kinds: Kinds, dialect: Dialect) -> None:
    left, right = kinds.known_kind(node.this), kinds.known_kind(node.expression)
    if not (left.is_number and right.is_number):
        return
    whole = left.is_whole and right.is_whole
    if dialect == "postgres":
        if not whole:
            _replace(node, _quotient_on_postgres(node.this, node.expression))
        return
    exact = _parsed(":l // :r", l=node.this, r=node.expression)
    quotient = exact if whole else _quotient_on_duckdb(node.this, left.scale, node.expression, right.scale)
    _replace(node, _checked(node, quotient))


def _quotient_on_postgres(left: exp.Expression, right: exp.Expression) -> exp.Expression:
    """The factor lets the server compute so many decimals that rounding to `SCALE` does not round twice."""
    one = exp.Literal.number("1." + "0" * 40)
    above = exp.paren(exp.Mul(this=exp.paren(left.copy()), expression=one))
    quotient = exp.Div(this=above, expression=exp.paren(right.copy()), typed=True, safe=False)
    return exp.Round(this=quotient, decimals=exp.Literal.number(SCALE))


def _quotient_on_duckdb(left: exp.Expression, ls: int, right: exp.Expression, rs: int) -> exp.Expression:
    """Long division of whole numbers of 38 digits; what does not fit is an error, never a rounded result."""
    shift = SCALE + rs - ls
    above, below = 10**ls * 10 ** max(shift, 0), 10**rs * 10 ** max(-shift, 0)
    n = _parsed(f"CAST(:l * {10**ls} AS HUGEINT) * CAST({above // 10**ls} AS HUGEINT)", l=left)
    d = _parsed(f"CAST(:r * {10**rs} AS HUGEINT) * CAST({below // 10**rs} AS HUGEINT)", r=right)
    whole = _parsed("SIGN(:n) * SIGN(:d) * ((2 * ABS(:n) + ABS(:d)) // (2 * ABS(:d)))", n=n, d=d)
    last = "0." + "0" * (SCALE - 1) + "1"
    return _parsed(f"CAST(:q AS DECIMAL(38, 0)) * {last}", q=whole)


def _modulo(node: exp.Expression, kinds: Kinds, dialect: Dialect) -> None:
    if dialect == "postgres" or not kinds.known_kind(node.expression).is_number:
        return
    left, right = kinds.known_kind(node.this), kinds.known_kind(node.expression)
    whole = left.is_whole and right.is_whole
    _replace(node, _checked(node, node.copy() if whole else _rest_on_duckdb(node, max(left.scale, right.scale))))


def _rest_on_duckdb(node: exp.Expression, scale: int) -> exp.Expression:
    """Of whole numbers: DuckDB goes over to floating point where 38 digits do not hold both decimals."""
    whole = f"CAST(:l * {10**scale} AS HUGEINT) % CAST(:r * {10**scale} AS HUGEINT)"
    unit = exp.Literal.number("0." + "0" * (scale - 1) + "1" if scale else "1")
    return exp.Mul(
        this=exp.cast(exp.paren(_parsed(whole, l=node.this, r=node.expression)), "DECIMAL(38, 0)"), expression=unit
    )


def _average(node: exp.Expression, kinds: Kinds, dialect: Dialect) -> None:
    """The sum by the count, each with the filter and the window that the average has."""
    inner = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    kind = kinds.known_kind(inner)
    if not kind.is_number:
        return
    top = node
    while isinstance(top.parent, exp.Filter | exp.Window) and top.parent.this is top:
        top = top.parent
    total, count = (_instead(top, node, kept(this=node.this.copy())) for kept in (exp.Sum, exp.Count))
    count = exp.Nullif(this=count, expression=exp.Literal.number(0))
    if dialect == "postgres":
        quotient = _quotient_on_postgres(total, count)
    else:
        quotient = exp.paren(_quotient_on_duckdb(total, kind.scale, count, 0))
    quotient.meta[KIND] = node.meta.get(KIND)
    top.replace(quotient)


def _instead(top: exp.Expression, node: exp.Expression, other: exp.Expression) -> exp.Expression:
    """A copy of `top` in which `node` is `other`."""
    if top is node:
        return other
    copy = top.copy()
    place = next(part for part in copy.find_all(type(node)) if part == node)
    place.replace(other)
    return copy


def _like(node: exp.Expression, _: Kinds, dialect: Dialect) -> None:
    """A backslash escapes on PostgreSQL, unless another character is named; on DuckDB nothing does."""
    if dialect == "duckdb" and not isinstance(node.parent, exp.Escape):
        _replace(node, exp.Escape(this=node.copy(), expression=exp.Literal.string("\\")))


def _cast(node: exp.Expression, kinds: Kinds, dialect: Dialect) -> None:
    """Text that is no number is an error on PostgreSQL; DuckDB rounds `1.5` to a whole number."""
    assert isinstance(node, exp.Cast)  # noqa: S101  for the type checker
    target = type_of(node.to)
    if target is None or not target.is_number:
        return
    if isinstance(node.this, exp.Literal) and node.this.is_string:
        raise SelectError(f"write the number itself, not the text {node.this.sql()}", line_of(node))
    if dialect != "duckdb":
        return
    if kinds.of(node.this) != TEXT:
        return
    form = r"\s*[+-]?[0-9]+\s*" if target.is_whole else r"\s*[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)\s*"
    _replace(
        node,
        exp.paren(
            _parsed(
                f"CASE WHEN NOT REGEXP_FULL_MATCH(:t, '{form}') THEN ERROR('not a number') ELSE :c END",
                t=node.this,
                c=node,
            )
        ),
    )


def _substring(node: exp.Expression, kinds: Kinds, dialect: Dialect) -> None:
    """A start before the text counts on PostgreSQL, and a length below 0 is an error; DuckDB counts from the end.

    PostgreSQL takes integers only.
    """
    start, length = node.args["start"], node.args.get("length")
    if kinds.of(start) == TEXT:
        raise SelectError("SUBSTRING takes numbers: a pattern means something on PostgreSQL only", line_of(node))
    if dialect == "postgres":
        for name, part in (("start", start), ("length", length)):
            if part is not None and kinds.of(part) == BIG:
                node.set(name, exp.cast(part.copy(), "INT"))
        return
    shown = start.copy()
    if not _is_count(start):
        node.set("start", _parsed("CASE WHEN :s < 1 THEN 1 ELSE :s END", s=shown))
    if length is not None and not (_is_count(start) and _is_count(length)):
        rest = (
            "CASE WHEN :n < 0 AND NOT (:t || :s) IS NULL THEN ERROR('negative substring length')"
            " WHEN :s >= 1 THEN :n WHEN :n + :s < 1 THEN 0 ELSE :n + :s - 1 END"
        )
        node.set("length", _parsed(rest, n=length, s=shown, t=node.this))


def _split(node: exp.Expression, _: Kinds, dialect: Dialect) -> None:
    """Part 0 is an error on PostgreSQL and empty on DuckDB, which takes an empty delimiter for one between any two."""
    place, delimiter = node.args["part_index"], node.args["delimiter"]
    if dialect == "duckdb" and not (_is_count(place) and isinstance(delimiter, exp.Literal) and delimiter.name):
        part = (
            "CASE WHEN :i = 0 AND NOT (:t || :d) IS NULL THEN ERROR('field position must not be zero')"
            " WHEN :d = '' THEN CASE WHEN :i IN (1, -1) THEN :t WHEN NOT (:t || :i) IS NULL THEN '' END ELSE :p END"
        )
        _replace(node, exp.paren(_parsed(part, i=place, t=node.this, d=delimiter, p=node)))


def _pad(node: exp.Expression, _: Kinds, dialect: Dialect) -> None:
    """With nothing PostgreSQL pads nothing; DuckDB refuses."""
    fill = node.args.get("fill_pattern")
    if dialect == "duckdb" and fill is not None and not (isinstance(fill, exp.Literal) and fill.name):
        cut = "CASE WHEN :f = '' THEN LEFT(:t, CASE WHEN :n < 0 THEN 0 ELSE :n END) ELSE :p END"
        _replace(node, exp.paren(_parsed(cut, f=fill, t=node.this, n=node.expression, p=node)))


def _is_count(node: exp.Expression) -> bool:
    """Whether it is a number from 1 that is written down."""
    return isinstance(node, exp.Literal) and node.is_int and node.name != "0"


def _truncate(node: exp.Expression, kinds: Kinds, dialect: Dialect) -> None:
    """Of a date PostgreSQL makes a moment with a zone."""
    if dialect == "postgres" and kinds.of(node.this) != TIME:
        node.set("this", exp.cast(node.this.copy(), "TIMESTAMP"))


def _extract(node: exp.Expression, _: Kinds, __: Dialect) -> None:
    if node.name.upper() in {"SECOND", "EPOCH"}:
        raise SelectError(f"EXTRACT({node.name} …) has fractions on PostgreSQL only; subtract moments", line_of(node))


def _exact(node: exp.Expression, kinds: Kinds, dialect: Dialect) -> None:
    """Rounding whole numbers gives floating point, unless they are decimals."""
    kind = kinds.of(node.this)
    if kind is not None and kind.is_whole:
        node.set("this", exp.cast(node.this.copy(), "DECIMAL" if dialect == "postgres" else "DECIMAL(38, 0)"))


def _align(node: exp.Expression, kinds: Kinds, dialect: Dialect) -> None:
    """Decimals of different scale meet: DuckDB would cut the finer ones where 38 digits do not hold both."""
    if dialect == "duckdb":
        parts = choices(node) if isinstance(node, exp.Case) else [
            part for value in node.args.values() for part in (value if isinstance(value, list) else [value])
        ]  # fmt: skip
        _to_one_scale([part for part in parts if isinstance(part, exp.Expression)], kinds)


def _align_rows(node: exp.Expression, kinds: Kinds, dialect: Dialect) -> None:
    """The same for what stands in one column of a UNION."""
    if dialect == "duckdb" and isinstance(node, exp.SetOperation):
        for pair in zip(node.left.selects, node.right.selects, strict=False):
            _to_one_scale([part.unalias() for part in pair], kinds)


def _to_one_scale(parts: list[exp.Expression], kinds: Kinds) -> None:
    decimals = [(part, kind) for part in parts if (kind := kinds.of(part)) is not None and kind.name == "dec"]
    finest = max((kind.scale for _, kind in decimals), default=0)
    for part, kind in decimals:
        if kind.scale < finest and not isinstance(part, exp.Literal):
            cast = exp.cast(part.copy(), f"DECIMAL(38, {finest})")
            cast.meta[KIND] = Kind("dec", finest)
            part.replace(cast)


def _sum(node: exp.Expression, kinds: Kinds, dialect: Dialect) -> None:
    """Both warehouses move a date by an INTEGER only."""
    if DATE not in {kinds.of(node.left), kinds.of(node.right)}:
        return _align(node, kinds, dialect)
    for part in (node.left, node.right):
        if kinds.of(part) == BIG:
            part.replace(exp.cast(part.copy(), "INT"))
    return None


_ALIGNED = (
    exp.Coalesce, exp.Case, exp.Greatest, exp.Least, exp.Nullif, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE,
    exp.NullSafeEQ, exp.NullSafeNEQ, exp.Between, exp.In,
)  # fmt: skip
_REWRITES: dict[type[exp.Expression], Callable[[exp.Expression, Kinds, Dialect], None]] = {
    exp.Div: _divide,
    exp.Mod: _modulo,
    exp.Avg: _average,
    exp.Round: _exact,
    exp.Trunc: _exact,
    exp.Ceil: _exact,
    exp.Floor: _exact,
    exp.Sign: _exact,
    exp.Like: _like,
    exp.ILike: _like,
    exp.Cast: _cast,
    exp.Substring: _substring,
    exp.SplitPart: _split,
    exp.Pad: _pad,
    exp.TimestampTrunc: _truncate,
    exp.Extract: _extract,
    exp.Add: _sum,
    exp.Sub: _sum,
    **dict.fromkeys(_ALIGNED, _align),
    **dict.fromkeys((exp.Union, exp.Intersect, exp.Except), _align_rows),
}
