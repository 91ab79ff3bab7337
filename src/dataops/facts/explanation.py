"""Where a row comes from: its publication, batch, rules and receipt; its earlier versions; for a model, its inputs.

Reads only, from the published layers, history, quarantine and the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlglot import exp

from dataops.declared.catalog import Catalog, Dataset
from dataops.declared.errors import DeclarationError
from dataops.declared.models import Model, SqlModel
from dataops.facts import masking
from dataops.facts.document import Document, Fields, Moment, Part, Receipt, Values
from dataops.ledger import batches, entries, publications, results
from dataops.ledger.batches import Batch
from dataops.ledger.enums import BatchState, Outcome, PublicationKind, VerdictName
from dataops.ledger.publications import Publication
from dataops.ledger.workspace import Workspace
from dataops.pipeline.history import as_of as standing
from dataops.pipeline.history import required
from dataops.warehouse.tables import equal, history, place, quoted, sql_type

State = Literal["published", "not published any more", "not published yet", "quarantined", "never seen"]


class VersionFacts(Part):
    """A row as one publication wrote it."""

    values: Values
    differs_in: tuple[str, ...]
    """columns in which it differs from the version that was asked for"""
    publication: str
    kind: PublicationKind | None
    """null: the publication is not in the ledger any more"""
    published_at: Moment | None
    receipt: Receipt | None
    replaced_by: str | None
    """the publication that replaced it; null: it stands"""
    operation: str | None
    """how it was replaced"""


class BatchNamed(Part):
    """The batch that brought a row."""

    batch: str
    source: str
    window_start: Moment | None
    window_end: Moment | None


class RuleNamed(Part):
    """A rule that judged the row's batch."""

    rule_id: str
    severity: str
    outcome: Outcome
    observed: str | None
    says: str


class InputFacts(Part):
    """A dataset that the row's model read."""

    dataset: str
    publication: str | None
    batch: str | None
    names_key: bool
    """whether the row's own columns say which input row it was made from"""
    names_none: bool
    """whether they say that there is none"""
    key: Values | None
    values: Values | None


class EntryFacts(Part):
    """An entry of quarantine."""

    batch: str
    state: BatchState
    verdict: VerdictName | None
    rules: str | None
    fell_with: str | None
    since: Moment
    released: str | None
    """the publication that closed it"""
    closed: str | None
    """how it was closed; null: it waits"""
    reason: str | None


class ExplanationDocument(Document):
    """Where a row comes from."""

    document: ClassVar[str] = "explain"
    major: ClassVar[int] = 2
    dataset: str
    key: Values
    state: State
    version: VersionFacts | None
    batch: BatchNamed | None
    restored_from: str | None
    """the publication that a roll-back brought it back from"""
    restored_at: Moment | None
    rules: tuple[RuleNamed, ...]
    inputs: tuple[InputFacts, ...]
    others: tuple[VersionFacts, ...]
    """older and newer versions, newest first"""
    quarantine: tuple[EntryFacts, ...]


@dataclass(frozen=True)
class _Lost:
    """Stands for a publication that the ledger lost: it is shown by its number alone."""

    seq: int
    kind: None = None
    published_at: datetime | None = None
    receipt: str | None = None
    batch: int | None = None

    @property
    def publication_id(self) -> str:
        return f"number {self.seq}, not in the ledger"


@dataclass(frozen=True)
class _Version:
    """A row as one publication wrote it, and the one that replaced it (None: it stands), by which operation."""

    values: Fields
    publication: Publication | _Lost
    replaced_by: Publication | _Lost | None = None
    operation: str | None = None


@dataclass(frozen=True)
class _Origin:
    """What let a version pass. `restored`: the publication that a roll-back brought it back from."""

    batch: Batch | None
    rules: tuple[RuleNamed, ...]
    restored: Publication | _Lost | None = None


def explain(
    work: Workspace, name: str, key: str, as_of: str | None = None, *, clear: bool = False
) -> ExplanationDocument:
    """Walks back from the row of `key` (`a=1,b=2`, or the value of a single-column key), now or as of a publication.

    Personal data is masked unless `clear`. Raises DeclarationError for an unknown dataset, key column, value or
    publication.
    """
    dataset = _dataset(work.catalog, name)
    values = parsed_key(dataset, key)
    with work.warehouse.reading() as connection:
        if not _is_there(connection, dataset):
            raise DeclarationError(f"nothing of {dataset.name} was loaded yet.\nRun: dataops load {dataset.group}")
        try:
            return _explained(work.catalog, connection, dataset, values, as_of, clear=clear)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            reason = str(error.orig or error).strip().splitlines()[0]
            raise DeclarationError(f"{key!r} is no key of {dataset.name}: {reason}") from error


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
    catalog: Catalog,
    connection: Connection,
    dataset: Dataset,
    key: Mapping[str, str],
    as_of: str | None,
    *,
    clear: bool,
) -> ExplanationDocument:
    versions = _versions(connection, dataset, key)
    limit = None if as_of is None else required(connection, as_of).seq
    before = [v for v in versions if limit is None or v.publication.seq <= limit]
    version = next((v for v in before if v.replaced_by is None or _later(v.replaced_by, limit)), None)
    held = _held(connection, dataset, key)
    origin = _origin(catalog, connection, dataset, version, versions) if version else None
    batch = origin.batch if origin else None
    restored = origin.restored if origin else None
    return ExplanationDocument(
        dataset=dataset.published_name,
        key=masking.values(dataset, key, clear=clear),
        state=_state(version, versions, before, held),
        version=_shown(dataset, version, version, clear=clear) if version else None,
        batch=BatchNamed(
            batch=batch.batch_id, source=batch.source, window_start=batch.window_start, window_end=batch.window_end
        )
        if batch
        else None,
        restored_from=restored.publication_id if restored else None,
        restored_at=restored.published_at if restored else None,
        rules=origin.rules if origin else (),
        inputs=_inputs(catalog, connection, dataset, version, origin, clear=clear) if version and origin else (),
        others=tuple(_shown(dataset, v, version, clear=clear) for v in versions if v is not version),
        quarantine=held,
    )


def _shown(dataset: Dataset, version: _Version, base: _Version | None, *, clear: bool) -> VersionFacts:
    made, old = version.publication, base.values if base else {}
    return VersionFacts(
        values=masking.values(dataset, version.values, clear=clear),
        differs_in=tuple(n for n, v in version.values.items() if n not in old or old[n] != v),
        publication=made.publication_id,
        kind=made.kind,
        published_at=made.published_at,
        receipt=made.receipt,
        replaced_by=version.replaced_by.publication_id if version.replaced_by else None,
        operation=version.operation,
    )


def _later(publication: Publication | _Lost, limit: int | None) -> bool:
    return limit is not None and publication.seq > limit


def _state(
    version: _Version | None, versions: Sequence[_Version], before: Sequence[_Version], held: Sequence[EntryFacts]
) -> State:
    if version:
        return "published"
    if any(entry.closed is None for entry in held):
        return "quarantined"
    if before:
        return "not published any more"
    return "not published yet" if versions else "never seen"


def _matching(dataset: Dataset, alias: str = "") -> str:
    """Condition with a parameter for each key column, cast to its type."""
    types = {column.name: sql_type(column) for column in dataset.columns}
    dot = f"{alias}." if alias else ""
    return " AND ".join(f'{dot}"{name}" = CAST(:{name} AS {types[name]})' for name in dataset.key)


def _versions(connection: Connection, dataset: Dataset, key: Mapping[str, str]) -> list[_Version]:
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
        _Version(
            {name: row[name] for name in dataset.column_names},
            known[row["_publication"]],
            known.get(row["_superseded"]),
            row["_operation"],
        )
        for row in found
    ]


def _publications(connection: Connection, seqs: set[int | None]) -> dict[int | None, Publication | _Lost]:
    """Publications by number; one that the ledger lost is shown by its number alone."""
    asked = {seq for seq in seqs if seq is not None}
    known = publications.numbered(connection, asked)
    return {seq: known.get(seq) or _Lost(seq) for seq in asked}


def _origin(
    catalog: Catalog, connection: Connection, dataset: Dataset, version: _Version, versions: Sequence[_Version]
) -> _Origin:
    """The batch and its rules; through roll-backs to the publication that first brought these values."""
    made = version.publication
    restored = None
    if made.kind is PublicationKind.ROLLBACK:
        same = (v.publication for v in versions if v.values == version.values and v.publication.seq < made.seq)
        restored = next((p for p in same if p.kind is not PublicationKind.ROLLBACK), None)
    batch = batches.numbered(connection, (restored or made).batch)
    return _Origin(batch, _rules(catalog, connection, dataset, batch), restored)


def _rules(catalog: Catalog, connection: Connection, dataset: Dataset, batch: Batch | None) -> tuple[RuleNamed, ...]:
    stored = results.of_batch(connection, batch.seq) if batch else []
    says = {rule.id: rule.says for rule in dataset.rules}
    return tuple(
        RuleNamed(
            rule_id=result.rule_id,
            severity=result.severity,
            outcome=result.outcome,
            observed=masking.observed(catalog, result),
            says=says.get(result.rule_id, "is not declared any more"),
        )
        for result in stored
        if result.table == dataset.table
    )


def _held(connection: Connection, dataset: Dataset, key: Mapping[str, str]) -> tuple[EntryFacts, ...]:
    """Quarantine entries of the key, newest first."""
    rows = entries.of_key(connection, dataset, _matching(dataset, "q"), key)
    known = _publications(connection, {entry.released for entry in rows})
    return tuple(
        EntryFacts(**vars(entry) | {"released": known[entry.released].publication_id if entry.released else None})
        for entry in rows
    )


def carried(model: Model) -> frozenset[str]:
    """Output columns that hold an input's value of the same name, only cast."""
    if not isinstance(model, SqlModel):
        return frozenset()
    casts = {s.alias_or_name: s.unalias().this for s in model.ast.selects}
    return frozenset(n for n, inner in casts.items() if isinstance(inner, exp.Column) and inner.name.lower() == n)


def _inputs(
    catalog: Catalog, connection: Connection, dataset: Dataset, version: _Version, origin: _Origin, *, clear: bool
) -> tuple[InputFacts, ...]:
    """The datasets that the row's model read, each as it stood for that build."""
    model = next((m for m in catalog.models if m.dataset == (dataset.layer, dataset.table)), None)
    if model is None or origin.batch is None:
        return ()
    made = origin.restored or version.publication
    together = {d.table for d in publications.datasets(connection, made.seq)}
    found = []
    for _, table in model.inputs:
        # A model of the same build was read from its candidate, which this very publication then published.
        seen = made.seq if table in together else origin.batch.horizon or 0
        source = catalog.dataset(table)
        shared = set(source.key) <= carried(model)
        key = {name: version.values[name] for name in source.key} if shared else None
        found.append(_input(connection, source, key, seen, clear=clear))
    return tuple(found)


def _input(connection: Connection, source: Dataset, key: Fields | None, seen: int, *, clear: bool) -> InputFacts:
    row = _looked_up(connection, source, key, seen) if key and None not in key.values() else None
    made = _publications(connection, {row.pop("_publication")}) if row else {}
    publication = next(iter(made.values()), None) or publications.newest_with(connection, source.table, seen)
    batch = batches.numbered(connection, publication.batch) if publication and publication.batch else None
    return InputFacts(
        dataset=source.published_name,
        publication=publication.publication_id if publication else None,
        batch=batch.batch_id if batch else None,
        names_key=bool(key),
        names_none=key is not None and None in key.values(),
        key=masking.values(source, key, clear=clear) if key and row else None,
        values=masking.values(source, row, clear=clear) if row else None,
    )


def _looked_up(connection: Connection, source: Dataset, key: Fields, seen: int) -> Fields | None:
    typed = ", ".join(f'CAST(:{c.name} AS {sql_type(c)}) AS "{c.name}"' for c in source.columns if c.name in source.key)
    match = equal("q", "k", source.key)
    query = sa.text(f"SELECT q.* FROM {standing(source, seen)} AS q JOIN (SELECT {typed}) AS k ON {match}")
    row = connection.execute(query, key).mappings().first()
    return dict(row) if row else None
