"""SQL models: what transforms/<layer>/<table>.sql declares, in which order to build it, and its SQL per engine.

Pure: reads files, knows no warehouse, no contract and no batch. A model is written once, in PostgreSQL's dialect;
whoever builds it says where its inputs are read from (`render`, `restrict`).
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final, Literal, NoReturn, TypeAlias

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope

from dataops.errors import DeclarationError

Dataset: TypeAlias = tuple[str, str]  # (layer, table)
Dialect: TypeAlias = Literal["duckdb", "postgres"]

WRITTEN_IN: Final = "postgres"
# What a model of a layer may read. Anything else has not passed a gate, or is not data.
READABLE: Final[Mapping[str, frozenset[str]]] = {
    "curated": frozenset({"validated", "curated"}),
    "marts": frozenset({"validated", "curated", "marts"}),
}
OPTIONS: Final = ("incremental_by",)

_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_OPTION = re.compile(r"--\s*([A-Za-z_][\w-]*)\s*:\s*(.*)")
_NOT_A_QUERY = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into, exp.Lock, exp.DDL, exp.Command)
# What may stand in FROM or LATERAL without being a table: counted out of its arguments, reading nothing.
_ROW_SOURCES = (exp.GenerateSeries, exp.Unnest, exp.Subquery)


@dataclass(frozen=True)
class Model:
    """One SELECT that makes one table; `text` is the file as written, `ast` its parsed form (never modified)."""

    layer: str
    table: str
    path: Path
    says: str
    incremental_by: tuple[str, ...]
    inputs: tuple[Dataset, ...]
    text: str = field(repr=False)
    ast: exp.Query = field(repr=False, compare=False)

    @property
    def dataset(self) -> Dataset:
        """(layer, table)."""
        return self.layer, self.table

    @property
    def name(self) -> str:
        """`curated.fct_sales`, as messages and people write it."""
        return f"{self.layer}.{self.table}"


def load_models(folder: Path) -> tuple[Model, ...]:
    """Every model below `folder` (transforms/), in build order. DeclarationError names the first bad file."""
    if not folder.is_dir():
        raise DeclarationError(f"{folder}: no such folder. Models are expected in transforms/<layer>/<table>.sql.")
    stray = sorted(folder.glob("*.sql"))
    if stray:
        raise DeclarationError(f"{stray[0]}: a model belongs into a layer's folder, e.g. transforms/curated/.")
    return order(parse_model(path) for path in sorted(folder.glob("*/*.sql")))


def parse_model(path: Path) -> Model:
    """The model of transforms/<layer>/<table>.sql. DeclarationError says file, line and what is wrong."""
    layer, table = path.parent.name, path.stem
    if layer not in READABLE:
        _refuse(path, 1, f"`{layer}` is not a layer with models; use one of {', '.join(READABLE)}")
    if not _NAME.fullmatch(table):
        _refuse(path, 1, f"file name `{table}` is not a table name (lower case, digits, underscores)")
    text = _read(path)
    says, options = _header(path, text)
    ast = _query(path, text)
    columns = _projection(path, ast)
    return Model(
        layer=layer,
        table=table,
        path=path,
        says=says,
        incremental_by=_incremental_by(path, options, columns),
        inputs=_inputs(path, layer, ast),
        text=text,
        ast=ast,
    )


def order(models: Iterable[Model]) -> tuple[Model, ...]:
    """The models so that each comes after those it reads; ties by name. A cycle is a DeclarationError naming it."""
    by_dataset = {model.dataset: model for model in sorted(models, key=lambda model: model.dataset)}
    sorter: TopologicalSorter[Dataset] = TopologicalSorter()
    for dataset, model in by_dataset.items():
        sorter.add(dataset, *(parent for parent in model.inputs if parent in by_dataset))
    try:
        sorter.prepare()
    except CycleError as error:
        _refuse_cycle(error.args[1], by_dataset)
    return tuple(by_dataset[dataset] for dataset in _in_waves(sorter))


def render(model: Model, dialect: Dialect, replace: Mapping[Dataset, str] | None = None) -> str:
    """The model's SELECT in `dialect`, without comments.

    `replace` maps inputs to where they are read instead: a relation name (`candidate.dim_product`) or a query in
    parentheses, both in PostgreSQL's dialect. An input that the model does not have is a DeclarationError.
    """
    elsewhere = dict(replace or {})
    unknown = sorted(set(elsewhere) - set(model.inputs))
    if unknown:
        raise DeclarationError(f"{model.path}: does not read {'.'.join(unknown[0])}, so it cannot be read elsewhere.")
    ast = model.ast.copy()
    for column in ast.find_all(exp.Column):
        column.set("db", None)  # `validated.product.name`: a replaced input is known by its alias only
    for node in list(ast.find_all(exp.Table)):
        if _dataset(node) in elsewhere:
            node.replace(_relation(elsewhere[_dataset(node)], node))
    return str(ast.sql(dialect=dialect, comments=False))


def restrict(
    model: Model,
    relation_of: Callable[[Dataset], str],
    keys_relation: str,
    keyed_inputs: Collection[Dataset],
) -> dict[Dataset, str]:
    """`replace` for an incremental build: each keyed input holds only rows whose key is in `keys_relation`.

    `relation_of` says where an input is read from: a name or a query in parentheses, without alias. `keys_relation`
    may be anything that fits behind FROM; it has the columns of `incremental_by`, no NULLs.
    DeclarationError when the model is not incremental.
    """
    if not model.incremental_by:
        raise DeclarationError(f"{model.path}: has no `-- incremental_by:` header, so it is built as a whole.")
    key = ", ".join(_quoted(column) for column in model.incremental_by)
    left = f"({key})" if len(model.incremental_by) > 1 else key
    affected = f"{left} IN (SELECT {key} FROM {keys_relation})"
    return {
        dataset: f"(SELECT * FROM {relation_of(dataset)} AS input WHERE {affected})"
        if dataset in keyed_inputs
        else relation_of(dataset)
        for dataset in model.inputs
    }


def output_columns(model: Model) -> tuple[str, ...]:
    """Names of the columns of the final SELECT, in order."""
    return tuple(projection.alias_or_name for projection in model.ast.selects)


def output_types(model: Model) -> dict[str, str]:
    """Column -> the type its final cast names, as PostgreSQL writes it (`DECIMAL(38, 6)`, `INT`, `VARCHAR`)."""
    return {
        projection.alias_or_name: str(projection.unalias().to.sql(dialect=WRITTEN_IN))
        for projection in model.ast.selects
    }


def _refuse(path: Path, line: int, what: str) -> NoReturn:
    raise DeclarationError(f"{path}, line {line}: {what}.")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        _refuse(path, 1, f"is not UTF-8 text (byte {error.start})")
    except OSError as error:
        raise DeclarationError(f"{path}: cannot be read: {error.strerror}.") from error


def _header(path: Path, text: str) -> tuple[str, dict[str, tuple[int, str]]]:
    """(what one row is and who reads it, option -> (line, value)) from the comment lines before the SQL."""
    prose: list[str] = []
    options: dict[str, tuple[int, str]] = {}
    in_header = True
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        in_header = in_header and (not stripped or stripped.startswith("--"))
        option = _OPTION.fullmatch(stripped)
        if option and (in_header or option[1] in OPTIONS):
            _take_option(path, number, option, options, in_header=in_header)
        elif in_header:
            prose.append(stripped.removeprefix("--").strip())
    says = " ".join(filter(None, prose))
    if not says:
        _refuse(path, 1, "the header comment is missing: say what one row is and who reads it")
    return says, options


def _take_option(
    path: Path, line: int, option: re.Match[str], options: dict[str, tuple[int, str]], *, in_header: bool
) -> None:
    name, value = option[1], option[2].strip()
    if name not in OPTIONS:
        close = difflib.get_close_matches(name.lower().replace("-", "_"), OPTIONS, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known options: {', '.join(OPTIONS)}"
        _refuse(path, line, f"unknown option `{name}`; {hint} (prose must not start with a word and a colon)")
    if not in_header:
        _refuse(path, line, f"option `{name}` stands below the first line of SQL, where nobody reads it; move it up")
    if name in options:
        _refuse(path, line, f"option `{name}` is given twice, first in line {options[name][0]}")
    options[name] = (line, value)


def _query(path: Path, text: str) -> exp.Query:
    """The file's only statement; anything but one plain SELECT is refused."""
    try:
        statements = [statement for statement in sqlglot.parse(text, read=WRITTEN_IN) if statement is not None]
    except SqlglotError as error:
        at = (getattr(error, "errors", None) or [{}])[0]
        _refuse(path, at.get("line") or 1, f"not valid SQL: {at.get('description') or str(error).splitlines()[0]}")
    statements = [statement for statement in statements if not isinstance(statement, exp.Semicolon)]
    if len(statements) != 1:
        second = _line(statements[1]) if statements else 1
        _refuse(path, second, f"exactly one SELECT is expected, found {len(statements)} statements")
    ast = statements[0]
    forbidden = ast.find(*_NOT_A_QUERY)
    if forbidden is not None or not isinstance(ast, exp.Select | exp.SetOperation):
        culprit = forbidden or ast
        _refuse(path, _line(culprit), f"a model is one SELECT that only reads; `{culprit.key.upper()}` is not")
    return ast


def _projection(path: Path, ast: exp.Query) -> tuple[str, ...]:
    """Output names; each output column must be named once and cast, so that both engines agree on its type."""
    names: list[str] = []
    for projection in ast.selects:
        if projection.is_star:
            _refuse(path, _line(projection), "the final SELECT must name its columns; `*` is not accepted")
        name = projection.alias_or_name
        if not name or not isinstance(projection.unalias(), exp.Cast):
            shown = name or projection.sql(dialect=WRITTEN_IN)
            _refuse(path, _line(projection), f"final column `{shown}` must be written CAST(… AS type) AS name")
        if name in names:
            _refuse(path, _line(projection), f"final column `{name}` appears twice")
        names.append(name)
    return tuple(names)


def _incremental_by(path: Path, options: Mapping[str, tuple[int, str]], columns: Sequence[str]) -> tuple[str, ...]:
    if "incremental_by" not in options:
        return ()
    line, value = options["incremental_by"]
    keys = tuple(part.strip() for part in value.split(","))
    for key in keys:
        if key not in columns:
            close = difflib.get_close_matches(key, columns, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else ""
            _refuse(path, line, f"incremental_by names `{key}`, which is not a final column{hint}")
    if len(set(keys)) < len(keys):
        _refuse(path, line, "incremental_by names a column twice")
    return keys


def _inputs(path: Path, layer: str, ast: exp.Query) -> tuple[Dataset, ...]:
    """The tables the SQL reads, sorted. Whatever is neither readable nor a name of a WITH in scope is refused."""
    found: set[Dataset] = set()
    try:
        in_scope = {id(node) for node in _names_of_with(ast)}
    except SqlglotError as error:
        _refuse(path, 1, f"not valid SQL: {error}")
    for node in ast.find_all(exp.Table, exp.Lateral):
        if id(node) in in_scope or isinstance(node.this, _ROW_SOURCES):
            continue
        if not isinstance(node.this, exp.Identifier):
            _refuse_function(path, node)
        found.add(_input(path, layer, node))
    if not found:
        _refuse(path, 1, "reads no table")
    return tuple(sorted(found))


def _names_of_with(ast: exp.Query) -> Iterator[exp.Table]:
    """Table nodes that mean a WITH query. By scope, not by name: elsewhere the same name would be a real table."""
    for scope in traverse_scope(ast):
        for node, source in scope.selected_sources.values():
            if isinstance(source, Scope) and isinstance(node, exp.Table) and not node.db:
                yield node


def _refuse_function(path: Path, node: exp.Expression) -> NoReturn:
    """Functions in FROM can read files and other servers."""
    shown = node.sql(dialect=WRITTEN_IN, comments=False)
    _refuse(path, _line(node), f"reads from the function `{shown}`; only generate_series and unnest are accepted")


def _input(path: Path, layer: str, node: exp.Table) -> Dataset:
    if not node.db:
        _refuse(path, _line(node), f"`{node.name}` has no layer: write e.g. `validated.{node.name}`")
    dataset = _dataset(node)
    if node.catalog or dataset[0] not in READABLE[layer]:
        shown = node.sql(dialect=WRITTEN_IN, comments=False)
        allowed = ", ".join(sorted(READABLE[layer]))
        _refuse(path, _line(node), f"a {layer} model may not read `{shown}`; it reads only {allowed}")
    return dataset


def _dataset(node: exp.Table) -> Dataset:
    """(schema, name) as PostgreSQL resolves them: lower case unless quoted."""
    return _folded(node.args.get("db")), _folded(node.this)


def _folded(part: exp.Expression | None) -> str:
    if part is None:
        return ""
    return str(part.name if part.args.get("quoted") else part.name.lower())


def _line(node: exp.Expression) -> int:
    """Line of the first token below `node` that kept its position; 1 when none did."""
    return min((part.meta["line"] for part in node.walk() if "line" in part.meta), default=1)


def _relation(where: str, instead_of: exp.Table) -> exp.Expression:
    # The parser knows tables and statements; a query in parentheses is the latter.
    into = None if where.lstrip().startswith("(") else exp.Table
    relation = sqlglot.parse_one(where, read=WRITTEN_IN, into=into)
    relation.set("alias", instead_of.args.get("alias") or exp.TableAlias(this=instead_of.this.copy()))
    relation.set("joins", instead_of.args.get("joins"))
    return relation


def _quoted(column: str) -> str:
    return str(exp.to_identifier(column, quoted=True).sql(dialect=WRITTEN_IN))


def _in_waves(sorter: "TopologicalSorter[Dataset]") -> Iterator[Dataset]:
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        yield from ready
        sorter.done(*ready)


def _refuse_cycle(cycle: Sequence[Dataset], by_dataset: Mapping[Dataset, Model]) -> NoReturn:
    # graphlib lists each before the one that reads it; a person follows "reads" instead.
    path = by_dataset[cycle[0]].path
    raise DeclarationError(f"{path}: models read each other: {' reads '.join(map('.'.join, reversed(cycle)))}.")
