"""Builds models into `candidate`, where no consumer sees them, as a batch that the gate judges like any other.

An incremental model is built for the keys whose inputs changed since its last build; any other change of its inputs
makes it a whole build. Publishing compares either way, so both give the same published rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa
from sqlalchemy.engine import Connection

from dataops.declared.arrow_types import arrow_schema
from dataops.declared.catalog import Catalog, Dataset, Group
from dataops.declared.errors import DeclarationError, PlatformError, VerdictError
from dataops.declared.failpoint import failpoint
from dataops.declared.models import Model, SqlModel, render, restrict
from dataops.declared.python_models import PythonModel
from dataops.gate import candidates
from dataops.ledger import batches, entries, publications
from dataops.ledger.batches import Batch
from dataops.ledger.schema import writing
from dataops.ledger.workspace import Workspace
from dataops.pipeline import leftovers
from dataops.warehouse import tables
from dataops.warehouse.limits import TimeLimit, limited
from dataops.warehouse.tables import controls, quoted

ROUNDS = 3
Input = tuple[str, str]  # layer, table
Together = Mapping[str, str]  # models built in the same batch so far -> where the whole of each is read


@dataclass(frozen=True)
class Build:
    """A sealed batch of candidates; `waiting` names models whose inputs were never published."""

    batch_id: str
    models: tuple[str, ...]
    waiting: tuple[str, ...]


@dataclass(frozen=True)
class Made:
    """A candidate: for which keys, its rows and control totals, what it was made by, where the whole model is read."""

    scope: str
    rows: int
    controls: dict[str, str]
    fingerprint: str
    whole: str


def build(work: Workspace, group: Group, names: Sequence[str] = (), *, full: bool = False) -> Build:
    """Builds the group's models (or the named ones). The caller holds the group's lock.

    Raises DeclarationError for an unknown name, VerdictError when no model has its inputs yet; nothing is changed then,
    nor by a model that fails.
    """
    chosen = _chosen(work.catalog, group, names)
    for _ in range(ROUNDS):
        with writing(work.warehouse, work.catalog.datasets.values()) as connection:
            ready, waiting = _ready(connection, work.catalog, chosen)
            if not ready:
                raise VerdictError(_nothing_ready(work.catalog, waiting))
            batch = batches.begin_build(connection, group.name)
        failpoint("build_opened")
        if (made := _of_one_state(work, group, ready, batch, full=full)) is not None:
            return Build(batch.batch_id, tuple(sorted(made)), tuple(m.table for m in waiting))
    raise PlatformError(
        f"what {group.name} is built from was published anew each time while it was built, {ROUNDS} times.\n"
        f"Nothing was changed; run this again later: dataops build {group.name}"
    )


def _of_one_state(
    work: Workspace, group: Group, models: Sequence[Model], batch: Batch, *, full: bool
) -> dict[str, Made] | None:
    """Makes and seals the build; None, with nothing left of it, when what it reads was published anew meanwhile."""
    try:
        made = _built(work, group, models, batch.seq, full=full)
    except Exception:
        with suppress(PlatformError), work.warehouse.transaction() as connection:
            batches.forget(connection, batch.seq)
        raise
    with work.warehouse.transaction() as connection:
        if _is_stale(connection, work.catalog, models, batch):
            batches.forget(connection, batch.seq)
            return None
        _seal(connection, group, batch.seq, made)
        failpoint("build_sealing")
    failpoint("build_sealed")
    with work.warehouse.transaction() as connection:
        candidates.replace_build(connection, group, batch.seq)
    failpoint("build_shown")
    return made


def _is_stale(connection: Connection, catalog: Catalog, models: Sequence[Model], batch: Batch) -> bool:
    """Whether two models of the build may have read two states of what they both come from."""
    read = {catalog.dataset(table).group for model in models for _, table in model.inputs}
    return publications.changed_since(connection, int(batch.horizon or 0), read, batch.group)


def _built(work: Workspace, group: Group, models: Sequence[Model], seq: int, *, full: bool) -> dict[str, Made]:
    """Makes the candidates of models in order, by table; of those of which nothing can differ none."""
    made: dict[str, Made] = {}
    for model in models:
        if one := _build_one(work, group, model, {table: m.whole for table, m in made.items()}, seq, full=full):
            made[model.table] = one
        failpoint("model_built")
    return made


def _seal(connection: Connection, group: Group, seq: int, made: Mapping[str, Made]) -> None:
    """Records a build. No earlier one can be published any more: it replaces their candidates."""
    leftovers.remove_unfinished(connection, group, batches.ANY, before=seq)
    for table, one in made.items():
        batches.bring(connection, seq, table, one.scope, one.rows, one.controls, [one.fingerprint])
    if made:
        batches.seal(connection, seq)
    else:
        batches.close_build_without_difference(connection, seq)


def _chosen(catalog: Catalog, group: Group, names: Sequence[str]) -> tuple[Model, ...]:
    members = {d.table for d in group.datasets}
    models = tuple(m for m in catalog.models if m.table in members)
    chosen = {name.rpartition(".")[2] for name in names}
    if unknown := sorted(chosen - {m.table for m in models}):
        known = ", ".join(m.table for m in models)
        raise DeclarationError(f"no model {', '.join(unknown)} in group {group.name}; there are {known}")
    return tuple(m for m in models if not chosen or m.table in chosen)


def _ready(connection: Connection, catalog: Catalog, models: Sequence[Model]) -> tuple[list[Model], list[Model]]:
    """Models of which everything they need is published or built with them, and the others."""
    there = publications.published_tables(connection)
    ready = list(models)
    while True:
        known = there | {m.table for m in ready}
        kept = [m for m in ready if _needed(catalog, m) <= known]
        if len(kept) == len(ready):
            return ready, [m for m in models if m not in ready]
        ready = kept


def _needed(catalog: Catalog, model: Model) -> set[str]:
    """What it reads, refers to and is compared with: without those all its rows would be held."""
    dataset = catalog.dataset(model.table)
    critical = [rule for rule in dataset.rules if rule.severity == "critical"]
    refers = {link.to for link in dataset.links if link.rule in critical}
    compared = {table for rule in critical for table in rule.tables}
    return {table for _, table in model.inputs} | (refers | compared) - {model.table}


def _nothing_ready(catalog: Catalog, waiting: Sequence[Model]) -> str:
    inputs = [catalog.dataset(table) for m in waiting for _, table in m.inputs]
    groups = sorted({d.group for d in inputs if d.is_loaded} or {d.group for d in inputs})
    verb = "load" if catalog.group(groups[0]).is_loaded else "build"
    return (
        f"nothing to build yet: the models read {', '.join(groups)}, not all published.\n"
        f"Run: dataops {verb} {groups[0]}"
    )


def _build_one(work: Workspace, group: Group, model: Model, together: Together, seq: int, *, full: bool) -> Made | None:
    """Makes the model's candidate. None when nothing can differ.

    A model built before it in the same batch is read as it will be, anything else as it is published.
    """
    dataset, fingerprint = group.dataset(model.table), _fingerprint(model, group)
    places = {(layer, table): together.get(table, f"{layer}.{table}") for layer, table in model.inputs}
    keyed = {(layer, table) for layer, table in model.inputs if _is_keyed(work.catalog, model, table, together)}
    keys = None if full else _affected_keys(work, group, model, keyed, together, seq)
    if keys == 0:
        return None
    if keys is not None:
        restricted = restrict(model, places.__getitem__, tables.affected(dataset, seq), keyed)
        rows, totals = _create(work, dataset, model, restricted, seq)
        if rows:
            scope = f"keys:{','.join(model.incremental_by)}"
            return Made(scope, rows, totals, fingerprint, _overlaid(dataset, model, seq))
        # Every affected key is gone: an empty candidate could not be told from a broken build, so build it all.
    rows, totals = _create(work, dataset, model, places, seq)
    return Made("whole", rows, totals, fingerprint, tables.landed(dataset, seq))


def _overlaid(dataset: Dataset, model: Model, seq: int) -> str:
    """The whole of a model of which some keys were built: those, and what stands of all others."""
    columns, keys = quoted(dataset.column_names), model.incremental_by
    return (
        f"(SELECT {columns} FROM {tables.landed(dataset, seq)} UNION ALL SELECT {quoted(dataset.column_names, 's')}"
        f" FROM {dataset.name} AS s WHERE NOT EXISTS"
        f" (SELECT 1 FROM {tables.affected(dataset, seq)} AS a WHERE {tables.equal('a', 's', keys)}))"
    )


def _fingerprint(model: Model, group: Group) -> str:
    """Changes with the model, with what it must look like and with its rules.

    Then the last build is no base for the next: what it held may pass now.
    """
    dataset = group.dataset(model.table)
    declared = [part.model_dump(mode="json") for part in (group.checkpoint, dataset.contract, dataset.suite)]
    text = model.text + json.dumps(declared, sort_keys=True)
    return f"model {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _since(connection: Connection, group: Group, model: Model) -> int | None:
    """Horizon of the model's last build that stands; None when it must be built whole."""
    built = batches.last_build(connection, model.table)
    if built is None:
        return None
    horizon, notes = built
    if notes != (_fingerprint(model, group),) or publications.rolled_back_since(connection, group.name, horizon):
        return None
    return horizon


def _is_keyed(catalog: Catalog, model: Model, table: str, together: Together) -> bool:
    return (
        bool(model.incremental_by)
        and table not in together
        and set(model.incremental_by) <= set(catalog.dataset(table).column_names)
    )


def _others_changed(catalog: Catalog, connection: Connection, model: Model, since: int, together: Together) -> bool:
    """Whether something changed that the model's rows are compared with and not made from: what waits may pass now."""
    names = _needed(catalog, model) - {table for _, table in model.inputs}
    return _any_changed(connection, {(catalog.dataset(n).published_layer, n) for n in names}, since, together)


def _any_changed(connection: Connection, inputs: set[Input], since: int, together: Together) -> bool:
    """Whether any of the datasets changed."""
    return any(
        table in together
        or connection.exec_driver_sql(
            f"SELECT COUNT(*) FROM ({_changes(layer, table, '1 AS x', since)}) AS q"
        ).scalar_one()
        for layer, table in sorted(inputs)
    )


def _changes(layer: str, table: str, columns: str, since: int) -> str:
    """Rows that were written to or removed from a published table after publication `since`."""
    return (
        f"SELECT {columns} FROM {layer}.{table} WHERE _publication > {since}"
        f" UNION SELECT {columns} FROM {layer}_history.{table} WHERE _superseded > {since}"
    )


def _affected_keys(
    work: Workspace, group: Group, model: Model, keyed: set[Input], together: Together, seq: int
) -> int | None:
    """For how many keys the model is to be built, which `tables.affected` then holds; None: for all there are."""
    with work.warehouse.transaction() as connection:
        since = _since(connection, group, model)
        if since is None or _any_changed(connection, set(model.inputs) - keyed, since, together):
            return None
        waiting = _others_changed(work.catalog, connection, model, since, together)
        return _find_affected(connection, group.dataset(model.table), model, keyed, since, seq, waiting=waiting)


def _find_affected(
    connection: Connection, dataset: Dataset, model: Model, keyed: set[Input], since: int, seq: int, *, waiting: bool
) -> int:
    """Makes a table of the keys whose inputs changed, and of what waits if that may pass now; how many there are."""
    if not keyed:
        return 0
    columns = quoted(model.incremental_by)
    parts = [_changes(layer, table, columns, since) for layer, table in sorted(keyed)]
    if waiting:
        parts.append(f"SELECT {columns} FROM ({entries.waiting(dataset)}) AS w")
    queries = " UNION ".join(parts)
    present = " AND ".join(f'"{name}" IS NOT NULL' for name in model.incremental_by)
    affected = tables.affected(dataset, seq)
    connection.exec_driver_sql(f"CREATE TABLE {affected} AS SELECT * FROM ({queries}) AS q WHERE {present}")
    return int(connection.exec_driver_sql(f"SELECT COUNT(*) FROM {affected}").scalar_one())


def _create(
    work: Workspace, dataset: Dataset, model: Model, places: Mapping[Input, str], seq: int
) -> tuple[int, dict[str, str]]:
    """Makes the candidate from inputs read at these places. Returns its rows and control totals."""
    place = tables.landed(dataset, seq)
    if isinstance(model, SqlModel):
        _select(work, dataset, place, render(model, work.warehouse.dialect, work.catalog.schema, places))
    elif isinstance(model, PythonModel):
        _call(work, dataset, place, model, places)
    with work.warehouse.transaction() as connection:
        work.warehouse.analyze(connection, place)
        return controls(connection, dataset, place)


def _limit(work: Workspace, connection: Connection, dataset: Dataset) -> TimeLimit:
    return limited(connection, work.settings.model_seconds, "DATAOPS_MODEL_SECONDS", f"the model {dataset.name}")


def _select(work: Workspace, dataset: Dataset, place: str, select: str) -> None:
    columns = quoted(dataset.column_names)
    with work.warehouse.transaction() as connection:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {place}")
        with work.warehouse.judging(connection), _limit(work, connection, dataset):
            connection.exec_driver_sql(
                f"CREATE TABLE {place} AS SELECT {columns}, ROW_NUMBER() OVER () - 1 AS _row,"
                f" CAST(NULL AS VARCHAR) AS _problems FROM ({select}) AS model"
            )


def _call(work: Workspace, dataset: Dataset, place: str, model: PythonModel, places: Mapping[Input, str]) -> None:
    """The function runs in no transaction: however long it takes, nobody waits for it."""
    from dataops.pipeline import functions

    rows = functions.rows_of(model, dataset, _inputs(work, dataset, model, places), work.settings.model_seconds)
    body = ", ".join(f'"{column.name}" {tables.sql_type(column)}' for column in dataset.columns)
    with work.warehouse.transaction() as connection:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {place}")
        connection.exec_driver_sql(f"CREATE TABLE {place} ({body}, _row BIGINT, _problems VARCHAR)")
    numbered = rows.append_column("_row", pa.array(range(rows.num_rows), pa.int64()))
    with work.warehouse.transaction() as connection:
        work.warehouse.stage(connection, place, numbered)


def _inputs(work: Workspace, dataset: Dataset, model: PythonModel, places: Mapping[Input, str]) -> dict[str, pa.Table]:
    """What the function reads, by name, in one snapshot."""
    read = {}
    with work.warehouse.transaction() as connection:
        for layer, table in model.inputs:
            source = work.catalog.dataset(table)
            needed = model.reads((layer, table))
            columns = [column for column in source.columns if column.name in needed]
            query = f"SELECT {quoted([c.name for c in columns])} FROM {places[layer, table]} AS input"
            with work.warehouse.judging(connection), _limit(work, connection, dataset):
                read[f"{layer}.{table}"] = work.warehouse.fetch(connection, query, arrow_schema(columns))
    return read


__all__ = ["Build", "build"]
