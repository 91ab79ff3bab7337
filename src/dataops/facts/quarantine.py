"""Quarantine as people look at it: how many rows are kept back and why, and the rows themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset
from dataops.declared.errors import DeclarationError
from dataops.declared.layers import QUARANTINE
from dataops.facts import masking
from dataops.facts.document import Document, Moment, Part, Values
from dataops.ledger import entries, rehearsals
from dataops.ledger.enums import BatchState, VerdictName
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace


class HeldRows(Part):
    """Open rows of one dataset and batch; `broke` broke a rule themselves, `fell` are held with others."""

    dataset: str
    batch: str
    state: BatchState
    verdict: VerdictName | None
    rows: int
    broke: int
    fell: int
    rules: str
    since: Moment


class WouldPass(Part):
    """What the last dry run of a replay found of one dataset."""

    dataset: str
    waiting: int
    would_pass: int | None
    """null: could not be judged"""
    tried_at: Moment


class QuarantineDocument(Document):
    """Rows that are kept back, by dataset and batch."""

    document: ClassVar[str] = "quarantine"
    major: ClassVar[int] = 2
    quarantine: tuple[HeldRows, ...]
    would_pass: tuple[WouldPass, ...]
    """what the last dry run of a replay found; empty before the first"""


class RowsDocument(Document):
    """Rows of a dataset that are kept back."""

    document: ClassVar[str] = "quarantine-rows"
    dataset: str
    rows: tuple[Values, ...]


def listed(work: Workspace, group: str | None) -> QuarantineDocument:
    """Open rows of a group's datasets, or of all. Raises DeclarationError for an unknown group."""
    datasets = work.catalog.group(group).datasets if group else tuple(work.catalog.datasets.values())
    with _there(work) as (connection, tables):
        held = [rows for d in datasets if d.table in tables for rows in _summary(connection, d)]
        tried = _rehearsed(connection, datasets)
    return QuarantineDocument(quarantine=tuple(held), would_pass=tuple(tried))


def rows(
    work: Workspace, name: str, rule: str | None, batch: str | None, limit: int | None, *, clear: bool
) -> tuple[Dataset, list[str], list[tuple[Any, ...]]]:
    """A dataset's open entries, newest first: names and values; personal data masked unless `clear`.

    Raises DeclarationError for an unknown dataset or rule.
    """
    dataset = work.catalog.dataset(name)
    if rule is not None and rule not in {r.id for r in dataset.rules}:
        raise DeclarationError(
            f"no rule {rule!r} on {dataset.name}; see {dataset.suite_file} and {dataset.contract_file}"
        )
    with _there(work) as (connection, tables):
        names, values = (
            entries.open_rows(connection, dataset, rule, batch, limit) if dataset.table in tables else ([], [])
        )
    return dataset, names, values if clear else [_masked(dataset, names, row) for row in values]


def document(dataset: Dataset, names: Sequence[str], values: Sequence[Sequence[Any]]) -> RowsDocument:
    """The rows of `rows` as a document."""
    return RowsDocument(dataset=dataset.name, rows=tuple(dict(zip(names, row, strict=True)) for row in values))


def _masked(dataset: Dataset, names: Sequence[str], row: Sequence[Any]) -> tuple[Any, ...]:
    shown = masking.values(dataset, dict(zip(names, row, strict=True)), clear=False)
    problems = shown.get("problems")
    return tuple((shown | {"problems": masking.unread(dataset, None if problems is None else str(problems))}).values())


@contextmanager
def _there(work: Workspace) -> Iterator[tuple[Connection, set[str]]]:
    """A connection, and the datasets that have a quarantine yet."""
    query = sa.text(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{QUARANTINE}'")
    with work.warehouse.reading() as connection:
        yield connection, {str(row[0]) for row in connection.execute(query)}


def _summary(connection: Connection, dataset: Dataset) -> list[HeldRows]:
    return [
        HeldRows(
            dataset=dataset.name,
            batch=held.batch,
            state=held.state,
            verdict=held.verdict,
            rows=held.rows,
            broke=held.broke,
            fell=held.rows - held.broke,
            rules=", ".join(held.rules),
            since=held.since,
        )
        for held in entries.open_by_batch(connection, dataset)
    ]


def _rehearsed(connection: Connection, datasets: Sequence[Dataset]) -> list[WouldPass]:
    if not is_there(connection):
        return []
    names = {d.table: d.name for d in datasets}
    return [
        WouldPass(dataset=names[r.table], waiting=r.waiting, would_pass=r.passing, tried_at=r.tried_at)
        for r in rehearsals.of_tables(connection, names)
    ]
