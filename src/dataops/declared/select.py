"""One SELECT that people wrote: read, checked, and rendered so that what runs is what was checked.

Queries, models and rules in SQL all pass here. The parser keeps some quoted names and strings as raw text and renders
them without quotes, so a checked tree is no proof of the text made from it. Therefore: only words of an allow-list
(`vocabulary`), raw text only where it is a plain word, and the rendered text is parsed again and must be the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError, UnsupportedError
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
from sqlglot.optimizer.scope import Scope, traverse_scope

from dataops.declared import vocabulary
from dataops.declared.errors import DeclarationError

Dialect = Literal["duckdb", "postgres"]
DIALECTS: tuple[Dialect, ...] = ("duckdb", "postgres")
WRITTEN_IN: Dialect = "postgres"

_WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into, exp.Lock, exp.DDL, exp.Command, exp.Set, exp.Copy)
# What may stand in FROM or LATERAL without being a table: rows counted out of its arguments, reading nothing.
ROW_SOURCES = (exp.GenerateSeries, exp.ExplodingGenerateSeries, exp.Subquery)
_SHAPE = (exp.Identifier, exp.Select, exp.SetOperation, exp.Table)
_NAMED = (exp.Column, exp.Table, exp.TableAlias, exp.Alias)  # a quoted name stays quoted in these only
_NAME = re.compile(r"[^\W\d][\w$]*")
_WORDS = re.compile(r"[A-Za-z_]+( [A-Za-z_]+)*")  # LEFT, CURRENT ROW
_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")


class SelectError(DeclarationError):
    """SQL that is refused; `line` is where, as far as it is known."""

    def __init__(self, says: str, line: int = 1) -> None:
        super().__init__(says)
        self.says, self.line = says, line


def parse(sql: str, *, query: bool = False, prepare: Callable[[exp.Query], object] | None = None) -> exp.Query:
    """The one SELECT of `sql`, PostgreSQL's dialect, names folded as PostgreSQL does, in words of the allow-list.

    `query`: for a person who looks; otherwise rows are published or held by it, so it must give the same every time.
    `prepare` may change the tree before it is checked. Raises SelectError.
    """
    tree = normalize_identifiers(_one_select(sql, WRITTEN_IN), dialect=WRITTEN_IN)
    if prepare:
        prepare(tree)
    check(tree, query=query)
    if not query:
        _require_reproducible(tree)
    return tree


def parse_expression(text: str) -> exp.Expression:
    """One expression, as it may stand in a SELECT; its words are checked there. Raises SelectError."""
    tree = normalize_identifiers(_one_select(f"SELECT {text} AS value", WRITTEN_IN), dialect=WRITTEN_IN)
    projections = tree.selects
    if set(tree.args) - {"expressions"} & {k for k, v in tree.args.items() if v} or len(projections) != 1:
        raise SelectError(f"one expression is expected: {text}")
    return projections[0].unalias()


def require_read_back(tree: exp.Query) -> None:
    """Raises SelectError if the text made of the tree would mean something else: a name or a text left its quotes."""
    if _read_back(tree, WRITTEN_IN) != tree:
        raise SelectError("a name or a text in it would not be read back as it was written")


def text_of(tree: exp.Query, dialect: Dialect) -> str:
    """The tree's text, which is read back as the same. Raises SelectError."""
    text = _text(tree, dialect)
    again = _one_select(text, dialect)
    read = _text(again, dialect)
    if read != text:  # the parser spells some of its own words in another way (IS NOT NULL): once more
        text, again = read, _one_select(read, dialect)
    if _text(again, dialect) != text or _shape(again) != _shape(tree):
        raise SelectError(f"a name or a text in it would not be read back as it was written, on {dialect}")
    return text


def _text(tree: exp.Query, dialect: Dialect) -> str:
    try:  # the parser's own default is to warn and to leave out what the dialect has no word for
        return str(tree.sql(dialect=dialect, comments=False, unsupported_level=ErrorLevel.RAISE))
    except UnsupportedError as error:
        raise SelectError(f"on {dialect}: {str(error).splitlines()[0]}", line_of(tree)) from None


def _read_back(tree: exp.Query, dialect: Dialect) -> exp.Query:
    return _one_select(_text(tree, dialect), dialect)


def _shape(tree: exp.Query) -> Counter[str]:
    """Every name with how often it stands there, and the SELECTs and tables: what no translation changes."""
    return Counter(node.name if isinstance(node, exp.Identifier) else node.key for node in tree.find_all(*_SHAPE))


def _one_select(sql: str, dialect: Dialect) -> exp.Query:
    try:
        statements = [s for s in sqlglot.parse(sql, read=dialect) if s is not None and not isinstance(s, exp.Semicolon)]
    except (SqlglotError, RecursionError) as error:
        details = (getattr(error, "errors", None) or [{}])[0]
        what = details.get("description") or (str(error).splitlines() or [type(error).__name__])[0]
        raise SelectError(f"not valid SQL: {what}", details.get("line") or 1) from None
    if len(statements) != 1:
        second = line_of(statements[1]) if statements else 1
        raise SelectError(f"exactly one SELECT is expected, found {len(statements)} statements", second)
    tree = statements[0]
    culprit = tree.find(*_WRITES)
    if culprit is not None:
        raise SelectError(f"one SELECT that only reads is expected; `{culprit.key.upper()}` is not", line_of(tree))
    if not isinstance(tree, exp.Select | exp.SetOperation):
        raise SelectError(f"not a SELECT: {sql.strip()[:60]}")
    return tree


def check(tree: exp.Query, *, query: bool = False) -> None:
    """Raises SelectError for a word that is not of the allow-list, and for raw text that is no plain word."""
    words = vocabulary.QUERIES if query else vocabulary.EVERYWHERE
    types = vocabulary.QUERY_TYPES if query else vocabulary.TYPES
    for node in tree.walk():
        if type(node) not in words:
            raise SelectError(_unknown(node), line_of(node))
        _check_text(node)
        if any(node.args.get(name) is None for name in vocabulary.NEEDED.get(type(node), ())):
            raise SelectError(f"function {_name(node)} needs more arguments", line_of(node))
        if isinstance(node, exp.DataType):
            _check_type(node, types)
        if isinstance(node, exp.Join) and node.method:
            raise SelectError(f"{node.method} JOIN is refused; say ON or USING", line_of(node))
    _refuse_names_of_one_letter_case(tree)


def _unknown(node: exp.Expression) -> str:
    kind = "function" if isinstance(node, exp.Func) else "expression"
    instead = vocabulary.INSTEAD.get(type(node).__name__)
    return f"{kind} {_name(node)} is refused" + (f": {instead}" if instead else "; see docs/reference/sql.md")


def _name(node: exp.Expression) -> str:
    if isinstance(node, exp.Func) and not isinstance(node, exp.Anonymous):
        return str(node.sql_name()).lower()
    return str(node.name if isinstance(node, exp.Anonymous) else node.key).lower()


def _check_text(node: exp.Expression) -> None:
    """What the parser keeps as text, and may render without quotes, must be a word by itself."""
    if isinstance(node, exp.Literal):
        fits = node.is_string or _NUMBER.fullmatch(node.this)
    elif isinstance(node, exp.Identifier):
        fits = isinstance(node.parent, _NAMED) if node.quoted else _NAME.fullmatch(node.this)
    elif isinstance(node, exp.Var):
        fits = node.name.upper() in vocabulary.UNITS
    elif isinstance(node, exp.Interval):
        amount = node.this
        fits = isinstance(amount, exp.Literal) and re.fullmatch(r"-?\d+", amount.name) and node.unit is not None
    else:
        fits = not isinstance(node, exp.WithinGroup) or isinstance(node.expression, exp.Order)
    own = "this" if isinstance(node, exp.Literal | exp.Identifier | exp.Var) else None  # looked at above
    values = [
        v for name, value in node.args.items() if name != own for v in (value if isinstance(value, list) else [value])
    ]
    texts = [v for v in values if isinstance(v, str)]
    if not fits or not all(_WORDS.fullmatch(text) for text in texts if text):
        raise SelectError(f"{str(node.this)!r} is refused where it stands: a plain word is expected", line_of(node))


def _check_type(node: exp.DataType, allowed: frozenset[exp.DType]) -> None:
    sizes = [param.this for param in node.expressions]
    numeric = node.this == exp.DType.DECIMAL
    sized = len(sizes) == 2 and all(isinstance(n, exp.Literal) and n.is_int for n in sizes)  # noqa: PLR2004
    if node.this not in allowed:
        known = "smallint, integer, bigint, numeric(p, s), varchar, boolean, date, timestamp"
        raise SelectError(f"type {node.sql(dialect=WRITTEN_IN)} is refused; there are {known}", line_of(node))
    if numeric and not sized:
        raise SelectError("type numeric needs precision and scale, which differ otherwise: numeric(38, 6)")
    if sizes and not numeric:
        name = node.this.value.lower()
        raise SelectError(f"type {node.sql(dialect=WRITTEN_IN)} is refused: write {name}, and LEFT(…) to shorten text")


def _refuse_names_of_one_letter_case(tree: exp.Query) -> None:
    """`"Total"` and `total` are two names on PostgreSQL and one on DuckDB."""
    seen: dict[str, str] = {}
    for node in tree.find_all(exp.Identifier):
        other = seen.setdefault(node.name.casefold(), node.name)
        if other != node.name:
            raise SelectError(f'"{other}" and "{node.name}" differ by case only: one name on DuckDB', line_of(node))


def _require_reproducible(tree: exp.Query) -> None:
    """Raises SelectError for what may give other rows the next time."""
    for node in tree.walk():
        if isinstance(node, exp.Limit | exp.Offset | exp.Fetch) and not _is_ordered(node.parent):
            raise SelectError("LIMIT without ORDER BY takes other rows every time; say the order", line_of(node))
        if isinstance(node, exp.Distinct) and node.args.get("on") and not _is_ordered(node.parent):
            raise SelectError("DISTINCT ON without ORDER BY takes other rows every time; say the order", line_of(node))
        if type(node) in vocabulary.ORDERED:
            window = node.find_ancestor(exp.Window)
            if window is None or not (_is_ordered(window) or window.args.get("alias")):
                raise SelectError(f"{node.key.upper()} needs OVER (… ORDER BY …)", line_of(node))
        if isinstance(node, exp.GroupConcat) and node.find(exp.Order) is None:
            raise SelectError("STRING_AGG needs its order: STRING_AGG(x, ',' ORDER BY x)", line_of(node))


def _is_ordered(node: exp.Expression | None) -> bool:
    return node is not None and bool(node.args.get("order"))


def names_of_with(tree: exp.Query) -> set[int]:
    """id() of the table nodes that mean a WITH query; by scope, since elsewhere the same name would be a real table.

    Raises SelectError.
    """
    try:
        sources = [pair for scope in traverse_scope(tree) for pair in scope.selected_sources.values()]
    except SqlglotError as error:
        raise SelectError(f"not valid SQL: {str(error).splitlines()[0]}") from None
    return {
        id(node)
        for node, source in sources
        if isinstance(source, Scope) and isinstance(node, exp.Table) and not node.db
    }


def tables(tree: exp.Query) -> Iterator[exp.Table]:
    """The nodes that name a table. Raises SelectError for a function in FROM that is none of `ROW_SOURCES`."""
    within = names_of_with(tree)
    for node in tree.find_all(exp.Table, exp.Lateral):
        if id(node) in within or isinstance(node.this, ROW_SOURCES):
            continue
        if not isinstance(node.this, exp.Identifier):
            shown = node.sql(dialect=WRITTEN_IN, comments=False)
            says = f"reads from the function `{shown}`, which is not a dataset; only generate_series is accepted"
            raise SelectError(says, line_of(node))
        yield node


def line_of(node: exp.Expression) -> int:
    """Line of the first token below `node` that kept its position; 1 when none did."""
    return min((part.meta["line"] for part in node.walk() if "line" in part.meta), default=1)
