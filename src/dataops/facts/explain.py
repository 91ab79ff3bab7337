"""Where a row comes from: its publication, batch, rules and receipt; its earlier versions; for a model, its inputs.

Reads only, from the published layers, history, quarantine and the ledger. What a column may show to whom is the
command line's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlglot import exp

from dataops.declared.catalog import Catalog, Dataset
from dataops.declared.errors import DeclarationError
from dataops.declared.models import Model
from dataops.ledger import tables as ledger
from dataops.ledger.workspace import Workspace
from dataops.pipeline.history import as_of as standing
from dataops.pipeline.history import required
from dataops.warehouse.tables import equal, history, place, quoted, sql_type

Row = dict[str, Any]
State = Literal["published", "not published any more", "not published yet", "quarantined", "never seen"]


@dataclass(frozen=True)
class Version:
    """A row as one publication wrote it, and the one that replaced it (None: it stands), by which operation."""

    values: Row
    publication: Row
    replaced_by: Row | None = None
    operation: str | None = None


@dataclass(frozen=True)
class Origin:
    """What let a version pass. `restored` names the publication that a roll-back brought it back from."""

    batch: Row | None
    rules: tuple[Row, ...]  # rule_id, severity, outcome, observed, says
    restored: Row | None = None


@dataclass(frozen=True)
class Input:
    """A dataset that a model read. `row` is the input row of the same key, None where the key does not say which."""

    dataset: Dataset
    publication: Row | None  # of the row; where there is none, the dataset's newest that the build read
    batch: Row | None
    key: Row | None = None
    row: Row | None = None


@dataclass(frozen=True)
class Explanation:
    """All that is known of one key. `version` is the one asked for; `others` are older and newer ones, newest first."""

    dataset: Dataset
    key: Row
    state: State
    version: Version | None
    origin: Origin | None
    inputs: tuple[Input, ...]
    others: tuple[Version, ...]
    held: tuple[
        Row, ...
    ]  # batch, state, rules, fell_with, since, released (by which publication), closed (how), reason


def explain(work: Workspace, name: str, key: str, as_of: str | None = None) -> Explanation:
    """Walks back from the row of `key` (`a=1,b=2`, or the value of a single-column key), now or as of a publication.

    Raises DeclarationError for an unknown dataset, key column, value or publication.
    """
    dataset = _dataset(work.catalog, name)
    wanted = parsed_key(dataset, key)
    with work.warehouse.reading() as connection:
        if not _is_there(connection, dataset):
            raise DeclarationError(f"nothing of {dataset.name} was loaded yet.\nRun: dataops load {dataset.group}")
        try:
            return _explained(work.catalog, connection, dataset, wanted, as_of)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            said = str(error.orig or error).strip().splitlines()[0]
            raise DeclarationError(f"{key!r} is no key of {dataset.name}: {said}") from error


def _dataset(catalog: Catalog, name: str) -> Dataset:
    if name.rpartition(".")[2] not in catalog.datasets:
        raise DeclarationError(f"no dataset {name!r}; there are {', '.join(sorted(catalog.datasets))}")
    return catalog.dataset(name)


def parsed_key(dataset: Dataset, text: str) -> dict[str, str]:
    """Key column -> value as typed. Raises DeclarationError naming the key's columns."""
    if len(dataset.key) == 1 and not re.match(r"\w+=", text):
        return {dataset.key[0]: text}
    pairs = [part.partition("=") for part in re.split(r",\s*(?=\w+=)", text)]
    given = {name.strip(): value for name, _, value in pairs}
    if any(not equals for _, equals, _ in pairs) or set(given) != set(dataset.key):
        shape = ",".join(f"{name}=…" for name in dataset.key)
        columns = ", ".join(dataset.key)
        raise DeclarationError(f"{text!r} is no key of {dataset.name}, whose key is {columns}; write --key {shape}")
    return {name: given[name] for name in dataset.key}


def _is_there(connection: Connection, dataset: Dataset) -> bool:
    query = sa.text("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = :s AND table_name = :t")
    where = {"s": dataset.published_layer, "t": dataset.table}
    return bool(connection.execute(query, where).scalar_one())


def _explained(
    catalog: Catalog, connection: Connection, dataset: Dataset, key: Mapping[str, str], as_of: str | None
) -> Explanation:
    versions = _versions(connection, dataset, key)
    limit = None if as_of is None else int(str(required(connection, as_of)["seq"]))
    before = [v for v in versions if limit is None or v.publication["seq"] <= limit]
    version = next((v for v in before if v.replaced_by is None or _later(v.replaced_by, limit)), None)
    held = _held(connection, dataset, key)
    origin = _origin(catalog, connection, dataset, version, versions) if version else None
    inputs = _inputs(catalog, connection, dataset, version, origin) if version and origin else ()
    others = tuple(v for v in versions if v is not version)
    return Explanation(
        dataset, dict(key), _state(version, versions, before, held), version, origin, inputs, others, held
    )


def _later(publication: Row, limit: int | None) -> bool:
    return limit is not None and int(publication["seq"]) > limit


def _state(
    version: Version | None, versions: Sequence[Version], before: Sequence[Version], held: Sequence[Row]
) -> State:
    if version:
        return "published"
    if any(row["closed"] is None for row in held):
        return "quarantined"
    if before:
        return "not published any more"
    return "not published yet" if versions else "never seen"


def _matching(dataset: Dataset, alias: str = "") -> str:
    """Condition with a parameter for each key column, cast to its type."""
    types = {column.name: sql_type(column) for column in dataset.columns}
    dot = f"{alias}." if alias else ""
    return " AND ".join(f'{dot}"{name}" = CAST(:{name} AS {types[name]})' for name in dataset.key)


def _versions(connection: Connection, dataset: Dataset, key: Mapping[str, str]) -> list[Version]:
    """Every version of the row, newest first."""
    columns = quoted(dataset.column_names)
    where = _matching(dataset)
    query = sa.text(
        f"SELECT {columns}, _publication, NULL AS _superseded, NULL AS _operation FROM {place(dataset)} WHERE {where}"
        f" UNION ALL SELECT {columns}, _publication, _superseded, _operation FROM {history(dataset)} WHERE {where}"
        " ORDER BY _publication DESC"
    )
    found = [dict(row) for row in connection.execute(query, dict(key)).mappings()]
    known = _publications(connection, {r[n] for r in found for n in ("_publication", "_superseded")})
    return [
        Version(
            {name: row[name] for name in dataset.column_names},
            known[row["_publication"]],
            known.get(row["_superseded"]),
            row["_operation"],
        )
        for row in found
    ]


def _publications(connection: Connection, seqs: set[int | None]) -> dict[int | None, Row]:
    """Publications by number; one that the ledger lost is shown by its number alone."""
    table = ledger.publications
    wanted = {seq for seq in seqs if seq is not None}
    found = ledger.rows(connection, sa.select(table).where(table.c.seq.in_(wanted)))
    lost: dict[int | None, Row] = {seq: _lost(seq) for seq in wanted}
    return lost | {row["seq"]: row for row in found}


def _lost(seq: int) -> Row:
    return {column.name: None for column in ledger.publications.columns} | {
        "seq": seq,
        "publication_id": f"number {seq}, not in the ledger",
    }


def _origin(
    catalog: Catalog, connection: Connection, dataset: Dataset, version: Version, versions: Sequence[Version]
) -> Origin:
    """The batch and its rules; through roll-backs to the publication that first brought these values."""
    made = version.publication
    restored = None
    if made["kind"] == "rollback":
        same = (v.publication for v in versions if v.values == version.values and v.publication["seq"] < made["seq"])
        restored = next((p for p in same if p["kind"] != "rollback"), None)
    number = (restored or made)["batch"]
    batch = ledger.one(connection, sa.select(ledger.batches).where(ledger.batches.c.seq == number))
    return Origin(batch, tuple(_rules(catalog, connection, dataset, number)), restored)


def _rules(catalog: Catalog, connection: Connection, dataset: Dataset, batch: int | None) -> list[Row]:
    table = ledger.check_results.c
    where = (table.batch == batch) & (table.table_name == dataset.table)
    columns = (table.rule_id, table.severity, table.outcome, table.observed)
    says = {rule.id: rule.says for rule in catalog.dataset(dataset.table).rules}
    found = ledger.rows(connection, sa.select(*columns).where(where).order_by(table.rule_id))
    return [row | {"says": says.get(row["rule_id"], "is not declared any more")} for row in found]


def _held(connection: Connection, dataset: Dataset, key: Mapping[str, str]) -> tuple[Row, ...]:
    """Quarantine entries of the key, newest first."""
    found = connection.execute(
        sa.text(
            "SELECT b.batch_id AS batch, b.state AS state, q._rules AS rules, q._fell_with AS fell_with,"
            " q._since AS since, q._released AS released, q._closed AS closed, q._closed_reason AS reason"
            f" FROM quarantine.{dataset.table} AS q JOIN ops.batches AS b ON b.seq = q._batch"
            f" WHERE {_matching(dataset, 'q')} ORDER BY b.seq DESC"
        ),
        dict(key),
    )
    rows = [dict(row) for row in found.mappings()]
    known = _publications(connection, {row["released"] for row in rows})
    return tuple(
        row | {"released": known[row["released"]]["publication_id"] if row["released"] is not None else None}
        for row in rows
    )


def carried(model: Model) -> frozenset[str]:
    """Output columns that hold an input's value of the same name, only cast."""
    casts = {s.alias_or_name: s.unalias().this for s in model.ast.selects}
    return frozenset(n for n, inner in casts.items() if isinstance(inner, exp.Column) and inner.name.lower() == n)


def _inputs(
    catalog: Catalog, connection: Connection, dataset: Dataset, version: Version, origin: Origin
) -> tuple[Input, ...]:
    """The datasets that the row's model read, each as it stood for that build."""
    model = next((m for m in catalog.models if m.dataset == (dataset.layer, dataset.table)), None)
    if model is None or origin.batch is None:
        return ()
    made = origin.restored or version.publication
    together = _together(connection, made["seq"])
    found = []
    for _, table in model.inputs:
        # A model of the same build was read from its candidate, which this very publication then published.
        seen = made["seq"] if table in together else origin.batch["horizon"]
        source = catalog.dataset(table)
        shared = set(source.key) <= carried(model)
        key = {name: version.values[name] for name in source.key} if shared else None
        found.append(_input(connection, source, key, int(seen)))
    return tuple(found)


def _together(connection: Connection, seq: int) -> set[str]:
    table = ledger.publication_datasets.c
    return {str(row[0]) for row in connection.execute(sa.select(table.table_name).where(table.publication == seq))}


def _input(connection: Connection, source: Dataset, key: Row | None, seen: int) -> Input:
    row = _looked_up(connection, source, key, seen) if key and None not in key.values() else None
    made = _publications(connection, {row.pop("_publication")}) if row else {}
    publication = next(iter(made.values()), None) or _newest(connection, source, seen)
    number = publication["batch"] if publication else None
    batch = ledger.one(connection, sa.select(ledger.batches).where(ledger.batches.c.seq == number))
    return Input(source, publication, batch, key, row)


def _looked_up(connection: Connection, source: Dataset, key: Row, seen: int) -> Row | None:
    typed = ", ".join(f'CAST(:{c.name} AS {sql_type(c)}) AS "{c.name}"' for c in source.columns if c.name in source.key)
    match = equal("q", "k", source.key)
    query = sa.text(f"SELECT q.* FROM {standing(source, seen)} AS q JOIN (SELECT {typed}) AS k ON {match}")
    row = connection.execute(query, key).mappings().first()
    return dict(row) if row else None


def _newest(connection: Connection, source: Dataset, seen: int) -> Row | None:
    p, d = ledger.publications, ledger.publication_datasets
    where = (d.c.table_name == source.table) & (p.c.seq <= seen)
    joined = sa.select(p).join_from(p, d, d.c.publication == p.c.seq)
    return ledger.one(connection, joined.where(where).order_by(p.c.seq.desc()).limit(1))
