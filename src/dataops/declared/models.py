"""Models, and of those in SQL what transforms/<layer>/<table>.sql declares, in which order to build it, and its SQL.

Pure: reads files, knows no warehouse, no contract and no batch. A model is written once, in PostgreSQL's dialect;
whoever builds it says where its inputs are read from (`render`, `restrict`).
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from sqlglot import exp

from dataops.declared import metrics as measures
from dataops.declared import rendering, select
from dataops.declared.errors import DeclarationError
from dataops.declared.kinds import Schema
from dataops.declared.layers import Layers
from dataops.declared.metrics import Metrics
from dataops.declared.select import WRITTEN_IN, Dialect, SelectError, line_of

Dataset: TypeAlias = tuple[str, str]  # (layer, table)

OPTIONS: Final = ("incremental_by",)

_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_OPTION = re.compile(r"--\s*([A-Za-z_][\w-]*)\s*:\s*(.*)")


@dataclass(frozen=True)
class Model:
    """What makes one table from what is published; `text` is all that it depends on, for a fingerprint."""

    layer: str
    table: str
    path: Path
    says: str
    incremental_by: tuple[str, ...]
    inputs: tuple[Dataset, ...]
    text: str = field(repr=False)

    @property
    def dataset(self) -> Dataset:
        """(layer, table)."""
        return self.layer, self.table

    @property
    def name(self) -> str:
        """`curated.fct_orders`, as messages and people write it."""
        return f"{self.layer}.{self.table}"


@dataclass(frozen=True)
class SqlModel(Model):
    """One SELECT that makes one table; `ast` is its parsed form (never modified), with the formulas of its metrics."""

    ast: exp.Query = field(repr=False, compare=False)
    measures: tuple[str, ...] = ()


def load_models(
    folder: Path,
    layers: Layers | None = None,
    metrics: Metrics | None = None,
    parameters: Mapping[str, float] | None = None,
) -> tuple[Model, ...]:
    """Every model below `folder` (transforms/), in build order; none where there is no such folder.

    Raises DeclarationError naming the first bad file.
    """
    stray = sorted(folder.glob("*.sql"))
    if stray:
        raise DeclarationError(f"{stray[0]}: a model belongs into a layer's folder, e.g. transforms/curated/.")
    from dataops.declared import python_models

    made: list[Model] = [parse_model(path, layers, metrics) for path in sorted(folder.glob("*/*.sql"))]
    made += python_models.load(folder, layers or Layers(), parameters or {})
    twice = {model.dataset: model.path for model in made}
    if len(twice) < len(made):
        double = next(model for model in made if twice[model.dataset] != model.path)
        raise DeclarationError(f"{double.name} is made twice: {double.path} and {twice[double.dataset]}")
    return order(made)


def parse_model(path: Path, layers: Layers | None = None, metrics: Metrics | None = None) -> SqlModel:
    """The model of transforms/<layer>/<table>.sql. DeclarationError says file, line and what is wrong."""
    layers = layers or Layers()
    layer, table = path.parent.name, path.stem
    refuse_layer(path, layer, layers)
    if not _NAME.fullmatch(table):
        _refuse(path, 1, f"file name `{table}` is not a table name (lower case, digits, underscores)")
    text = _read(path)
    says, options = _header(path, text)
    ast, measured = _query(path, text, metrics or {})
    columns = _projection(path, ast)
    return SqlModel(
        layer=layer,
        table=table,
        path=path,
        says=says,
        incremental_by=_incremental_by(path, options, columns),
        inputs=_inputs(path, layer, layers.read_by(layer), ast),
        text="\n".join([text, *(metrics[name].text for name in measured)]) if metrics else text,
        ast=ast,
        measures=measured,
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


def render(model: SqlModel, dialect: Dialect, schema: Schema, replace: Mapping[Dataset, str] | None = None) -> str:
    """The model's SELECT in `dialect`, without comments, computing the same on every warehouse.

    `schema` has the columns of its inputs by table. `replace` maps inputs to where they are read instead: a relation
    name (`candidate.dim_item`) or a query in parentheses, both in PostgreSQL's dialect. An input that the model does
    not have, and what cannot mean the same everywhere, is a DeclarationError.
    """
    elsewhere = dict(replace or {})
    unknown = sorted(set(elsewhere) - set(model.inputs))
    if unknown:
        raise DeclarationError(f"{model.path}: does not read {'.'.join(unknown[0])}, so it cannot be read elsewhere.")
    try:
        return rendering.render(model.ast, dialect, schema, elsewhere)
    except SelectError as error:
        _refuse(model.path, error.line, error.says)


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


def output_columns(model: SqlModel) -> tuple[str, ...]:
    """Names of the columns of the final SELECT, in order."""
    return tuple(projection.alias_or_name for projection in model.ast.selects)


def output_types(model: SqlModel) -> dict[str, str]:
    """Column -> the type its final cast names, as PostgreSQL writes it (`DECIMAL(38, 6)`, `INT`, `VARCHAR`)."""
    return {
        projection.alias_or_name: str(projection.unalias().to.sql(dialect=WRITTEN_IN))
        for projection in model.ast.selects
    }


def refuse_layer(path: Path, layer: str, layers: Layers) -> None:
    """Raises DeclarationError for a folder that is no layer with models."""
    if layer not in layers.built:
        _refuse(path, 1, f"`{layer}` is not a layer with models; use one of {', '.join(layers.built)}")


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


def _query(path: Path, text: str, metrics: Metrics) -> tuple[exp.Query, tuple[str, ...]]:
    """The file's only statement and the metrics that it computes; anything but one plain SELECT is refused."""
    measured: list[str] = []
    try:
        tree = select.parse(text, prepare=lambda tree: measured.extend(measures.put_into(tree, metrics)))
        return tree, tuple(measured)
    except SelectError as error:
        _refuse(path, error.line, error.says)


def _projection(path: Path, ast: exp.Query) -> tuple[str, ...]:
    """Output names; each output column must be named once and cast, so that both engines agree on its type."""
    names: list[str] = []
    for projection in ast.selects:
        if projection.is_star:
            _refuse(path, line_of(projection), "the final SELECT must name its columns; `*` is not accepted")
        name = projection.alias_or_name
        if not name or not isinstance(projection.unalias(), exp.Cast):
            shown = name or projection.sql(dialect=WRITTEN_IN)
            _refuse(path, line_of(projection), f"final column `{shown}` must be written CAST(… AS type) AS name")
        if name in names:
            _refuse(path, line_of(projection), f"final column `{name}` appears twice")
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


def _inputs(path: Path, layer: str, readable: frozenset[str], ast: exp.Query) -> tuple[Dataset, ...]:
    """The tables the SQL reads, sorted. Whatever is neither readable nor a name of a WITH in scope is refused."""
    try:
        found = {_input(path, layer, readable, node) for node in select.tables(ast)}
    except SelectError as error:
        _refuse(path, error.line, error.says)
    if not found:
        _refuse(path, 1, "reads no table")
    return tuple(sorted(found))


def _input(path: Path, layer: str, readable: frozenset[str], node: exp.Table) -> Dataset:
    if not node.db:
        _refuse(path, line_of(node), f"`{node.name}` has no layer: write e.g. `validated.{node.name}`")
    dataset = _dataset(node)
    if node.catalog or dataset[0] not in readable:
        shown = node.sql(dialect=WRITTEN_IN, comments=False)
        allowed = ", ".join(sorted(readable))
        _refuse(path, line_of(node), f"a {layer} model may not read `{shown}`; it reads only {allowed}")
    return dataset


def _dataset(node: exp.Table) -> Dataset:
    """(schema, name); both are folded already."""
    return node.db, node.name


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
