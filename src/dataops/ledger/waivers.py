"""Waivers as the ledger keeps them: who asked, who agreed, for what, until when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import BeforeValidator, Field
from sqlalchemy.engine import Connection

from dataops.declared.errors import DeclarationError
from dataops.ledger import clock, numbering
from dataops.ledger import tables as t
from dataops.ledger.enums import WaiverState
from dataops.ledger.reading import Record, every, one


class Waiver(Record):
    """A dated, scoped permission; times are UTC without a zone, and at `until` it has ended."""

    seq: int
    waiver_id: str
    group: str = Field(alias="group_name")
    rule_id: str | None = None  # None: it raises the group's quota
    table: str | None = Field(alias="table_name", default=None)
    batch: str | None = None  # only for this batch; None: for every batch until it ends
    rules_hash: str | None = None  # for one batch: the rules under which it was held,
    content: str | None = None  # and what was held of it
    keys: Annotated[tuple[tuple[str, ...], ...], BeforeValidator(lambda keys: keys or ())] = ()
    quota: float | None = None
    owner: str
    reason: str
    approver: str | None = None
    created_at: datetime
    approved_at: datetime | None = None
    until: datetime
    revoked_at: datetime | None = None
    revoked_by: str | None = None

    def state(self, *, needs_approval: bool, at: datetime | None = None) -> WaiverState:
        """How it stands at this instant in UTC."""
        if self.revoked_at is not None:
            return WaiverState.REVOKED
        if self.until <= (at or clock.now()):
            return WaiverState.ENDED
        return WaiverState.ASKED if needs_approval and self.approver is None else WaiverState.IN_FORCE


def add(connection: Connection, **values: Any) -> Waiver:  # noqa: ANN401  column values
    """Records a waiver that was asked for now."""
    seq = numbering.next_seq(connection, t.waivers)
    row = values | {"seq": seq, "waiver_id": f"WAI-{seq:04d}", "created_at": clock.now()}
    connection.execute(t.waivers.insert().values(row))
    return Waiver.of(row)


def approve(connection: Connection, waiver: Waiver, person: str) -> None:
    """Notes who agreed."""
    _set(connection, waiver, approver=person, approved_at=clock.now())


def revoke(connection: Connection, waiver: Waiver, person: str) -> None:
    """Notes who ended it."""
    _set(connection, waiver, revoked_at=clock.now(), revoked_by=person)


def _set(connection: Connection, waiver: Waiver, **values: object) -> None:
    connection.execute(t.waivers.update().where(t.waivers.c.seq == waiver.seq).values(**values))


def required(connection: Connection, waiver_id: str) -> Waiver:
    """The waiver. Raises DeclarationError when there is none."""
    waiver = one(connection, Waiver, sa.select(t.waivers).where(t.waivers.c.waiver_id == waiver_id))
    if waiver is None:
        raise DeclarationError(f"no waiver {waiver_id!r}; see: dataops waivers list")
    return waiver


def of_batch(connection: Connection, group: str, batch_id: str) -> list[Waiver]:
    """The group's waivers that are for this batch or for every one, oldest first, in whatever state."""
    w = t.waivers.c
    where = (w.group_name == group) & (w.batch.is_(None) | (w.batch == batch_id))
    return every(connection, Waiver, sa.select(t.waivers).where(where).order_by(w.seq))


def first_to_end(connection: Connection) -> list[Waiver]:
    """All waivers, those that end first on top."""
    return every(connection, Waiver, sa.select(t.waivers).order_by(t.waivers.c.until))


def ids(connection: Connection) -> list[str]:
    """All ids, oldest first."""
    return list(connection.execute(sa.select(t.waivers.c.waiver_id).order_by(t.waivers.c.seq)).scalars())
