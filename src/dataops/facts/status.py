"""May I trust this morning's figures? The state of every group, read from the ledger.

Writes nothing and knows no engine; the sentence over it all is `facts.sentence`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Catalog
from dataops.facts.sentence import WORST_FIRST, GroupState, State, sentence, worst
from dataops.gate.waivers import needs_approval, state_of
from dataops.ledger import receipts
from dataops.ledger import tables as ledger
from dataops.ledger.incidents import open_incidents
from dataops.ledger.workspace import Workspace
from dataops.pipeline.watch import confirmed_at, is_late

BYSTANDERS = (
    "anomaly",
    "late",
)  # kinds of incident that hold nothing back: the batch is published, somebody looks at it


@dataclass(frozen=True)
class GroupFacts:
    """One row of the status table. Times are UTC without a zone; `money_held` is exact text."""

    state: GroupState
    figures_as_of: datetime | None = None
    figures_are_days: bool = False  # as of the end of a window, so a day; else the moment of publication
    confirmed_at: datetime | None = None
    rules: Mapping[str, int] = field(
        default_factory=dict
    )  # outcome of the last judgement -> rules; empty: never judged
    rules_declared: int = 0
    rows_held: int = 0
    money_held: str | None = None
    incident: str | None = None

    @property
    def as_of_day(self) -> datetime | None:
        """The last day that the figures hold: a window ends before its end."""
        if self.figures_as_of is None or not self.figures_are_days:
            return self.figures_as_of
        return self.figures_as_of - timedelta(microseconds=1)


@dataclass(frozen=True)
class Status:
    """All groups, worst first, at one moment."""

    taken_at: datetime
    groups: tuple[GroupFacts, ...]
    incidents: tuple[dict[str, Any], ...] = ()
    quarantined: int = 0
    oldest_quarantined: datetime | None = None
    open_tables: Mapping[str, int] = field(default_factory=dict)  # dataset -> rows in quarantine
    waivers: tuple[dict[str, Any], ...] = ()  # in force or waiting for approval, with `state`; first to end first
    receipt: str | None = None  # head of the chain of receipts

    @property
    def states(self) -> tuple[GroupState, ...]:
        return tuple(facts.state for facts in self.groups)

    @property
    def sentence(self) -> str:
        return sentence(self.states)

    @property
    def healthy(self) -> bool:
        return all(state.well for state in self.states)

    @property
    def held(self) -> bool:
        return any(state.state == "held" for state in self.states)

    @property
    def worst(self) -> State:
        return worst([state.state for state in self.states])


def read(work: Workspace) -> Status:
    """The status now, from the ledger in one snapshot. Raises PlatformError when the warehouse cannot be read."""
    now = ledger.now()
    with work.warehouse.reading() as connection:
        if ledger.version(connection) is None:
            empty = tuple(_never(work.catalog, name) for name in in_order(work.catalog))
            return Status(now, empty)
        incidents = tuple(open_incidents(connection))
        held = _quarantine(connection, work.catalog)
        allowed, receipt = _waivers(connection, work.catalog), receipts.head(connection)
        facts = _with_causes(
            work.catalog,
            {name: _facts(connection, work.catalog, name, incidents, held, now) for name in in_order(work.catalog)},
        )
    ordered = sorted(facts.values(), key=lambda f: WORST_FIRST.index(f.state.state))
    dates = [since for _, since in held.values() if since]
    rows = {name: count for name, (count, _) in held.items() if count}
    return Status(now, tuple(ordered), incidents, sum(rows.values()), min(dates, default=None), rows, allowed, receipt)


def _waivers(connection: Connection, catalog: Catalog) -> tuple[dict[str, Any], ...]:
    rows = ledger.rows(connection, sa.select(ledger.waivers).order_by(ledger.waivers.c.until))
    found = (row | {"state": state_of(row, needs_approval=needs_approval(catalog, row))} for row in rows)
    return tuple(row for row in found if row["state"] in {"in force", "waiting for approval"})


def in_order(catalog: Catalog) -> list[str]:
    """Groups so that each comes after those whose rows it refers to or reads."""
    from graphlib import TopologicalSorter

    graph = {name: inputs(catalog, name) for name in sorted(catalog.groups)}
    return list(TopologicalSorter(graph).static_order())


def inputs(catalog: Catalog, group: str) -> set[str]:
    """Groups that a group's models read; for loaded groups, those that its rows refer to."""
    found = catalog.groups[group]
    tables = {table for model in catalog.models if model.table in found.tables for _, table in model.inputs}
    named = {catalog.datasets[table].group for table in tables if table in catalog.datasets}
    return (named | {d.group for d in found.outside}) - {group}


def _never(catalog: Catalog, name: str) -> GroupFacts:
    return GroupFacts(GroupState(name, "waiting"), rules_declared=len(catalog.groups[name].rules))


def _facts(
    connection: Connection,
    catalog: Catalog,
    name: str,
    incidents: Sequence[Mapping[str, Any]],
    held: Mapping[str, tuple[int, datetime | None]],
    now: datetime,
) -> GroupFacts:
    group = catalog.groups[name]
    own = [i for i in incidents if i["group_name"] == name and i["kind"] not in BYSTANDERS]
    last = ledger.last_publication(connection, name)
    batch = _latest_batch(connection, name)
    rows = sum(held.get(table, (0, None))[0] for table in group.tables)
    confirmed = confirmed_at(connection, name)
    state = _state(connection, catalog, name, last, batch, own, rows)
    if WORST_FIRST.index(state.state) > WORST_FIRST.index("late") and is_late(group, confirmed, now):
        state = replace(state, state="late")
    as_of, days = _as_of(connection, name)
    rules = _rules(connection, batch)
    detail = own[-1]["detail"] if own else {}
    return GroupFacts(
        state,
        as_of,
        days,
        confirmed,
        rules,
        sum(rules.values()) or len(group.rules),
        int(detail.get("rows_held") or rows),
        (detail.get("money") or {}).get("held"),
        own[-1]["incident_id"] if own else None,
    )


def _latest_batch(connection: Connection, group: str) -> dict[str, Any] | None:
    table = ledger.batches
    where = (table.c.group_name == group) & table.c.judged_at.is_not(None)
    return ledger.one(connection, sa.select(table).where(where).order_by(table.c.seq.desc()).limit(1))


def _state(
    connection: Connection,
    catalog: Catalog,
    name: str,
    last: Mapping[str, Any] | None,
    batch: Mapping[str, Any] | None,
    incidents: Sequence[Mapping[str, Any]],
    rows: int,
) -> GroupState:
    publication = last["publication_id"] if last else None
    base = GroupState(name, "published", publication=publication, rolled_back=bool(last and last["kind"] == "rollback"))
    blocked = {"failed", "error"} & {str(batch["state"]) if batch else ""}
    if blocked or incidents:
        verdicts = {incident["detail"].get("verdict") for incident in incidents} | {state.upper() for state in blocked}
        return replace(base, state="held", unjudged="FAILED" not in verdicts)
    if last is None or _is_behind(connection, catalog, name):
        return replace(base, state="waiting")
    return replace(base, state="partly published") if rows else base


def _is_behind(connection: Connection, catalog: Catalog, name: str) -> bool:
    """Whether a built group's inputs, or the group itself by a roll-back, changed since its last build that stands."""
    if catalog.groups[name].layer == "raw":
        return False
    b, p = ledger.batches, ledger.publications
    built = sa.select(sa.func.max(b.c.horizon)).where(
        (b.c.group_name == name) & b.c.state.in_(["published", "unchanged"])
    )
    horizon = connection.execute(built).scalar() or 0
    undone = (p.c.group_name == name) & (p.c.kind == "rollback")
    newer = (p.c.seq > horizon) & (p.c.group_name.in_(sorted(inputs(catalog, name))) | undone)
    return bool(connection.execute(sa.select(sa.func.count()).select_from(p).where(newer)).scalar_one())


def _as_of(connection: Connection, group: str) -> tuple[datetime | None, bool]:
    """As of when the figures stand; a roll-back sets it back, a correction of an old window does not."""
    table = ledger.publications
    found = ledger.rows(connection, sa.select(table).where(table.c.group_name == group).order_by(table.c.seq))
    moment: datetime | None = None
    days = False
    for row in found:
        reached = row["window_end"] or row["published_at"]
        if moment is None or reached >= moment or row["kind"] == "rollback":
            moment, days = reached, row["window_end"] is not None
    return moment, days


def _rules(connection: Connection, batch: Mapping[str, Any] | None) -> dict[str, int]:
    if batch is None:
        return {}
    table = ledger.check_results
    found = connection.execute(
        sa.select(table.c.outcome, sa.func.count()).where(table.c.batch == batch["seq"]).group_by(table.c.outcome)
    )
    return {str(row[0]): int(row[1]) for row in found}


def _quarantine(connection: Connection, catalog: Catalog) -> dict[str, tuple[int, datetime | None]]:
    """Dataset -> (rows that are kept back from published batches, since when)."""
    published = sa.select(ledger.publications.c.batch).where(ledger.publications.c.batch.is_not(None))
    numbers = ",".join(str(int(row[0])) for row in connection.execute(published)) or "-1"
    found = {}
    there = _tables(connection)
    for table in sorted(set(catalog.datasets) & there):
        row = connection.exec_driver_sql(
            f"SELECT COUNT(*), MIN(_since) FROM quarantine.{table} WHERE _closed IS NULL AND _batch IN ({numbers})"
        ).one()
        found[table] = (int(row[0]), row[1])
    return found


def _tables(connection: Connection) -> set[str]:
    query = sa.text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'quarantine'")
    return {str(row[0]) for row in connection.execute(query)}


def _with_causes(catalog: Catalog, facts: Mapping[str, GroupFacts]) -> dict[str, GroupFacts]:
    """A built group waits while one of its inputs is held or has nothing published; causes pass down the chain."""
    found: dict[str, GroupFacts] = {}
    for name, item in facts.items():
        causes: set[str] = set()
        if catalog.groups[name].layer != "raw" and item.state.state != "held":
            for parent in inputs(catalog, name) & found.keys():
                state = found[parent].state
                causes |= set(state.waits_for) or ({parent} if state.state in {"held", "late"} else set())
        waiting = replace(item.state, state="waiting", waits_for=tuple(sorted(causes)))
        found[name] = replace(item, state=waiting) if causes else item
    return found
