"""The outbox as people look at it: what waits to be told, what was, and what nobody takes."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from dataops.declared.errors import DeclarationError
from dataops.facts import choosing
from dataops.facts.document import Document, Moment, Part
from dataops.ledger import outbox
from dataops.ledger.enums import Channel, DeliveryState, NoticeKind
from dataops.ledger.outbox import Delivery
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace


class DeliveryFacts(Part):
    """One message to one receiver."""

    delivery: str
    kind: NoticeKind
    what: str
    """the step of an incident, the publication, the report, the digest"""
    subject: str
    channel: Channel
    whom: str
    state: DeliveryState
    attempts: int
    due_at: Moment
    created_at: Moment
    settled_at: Moment | None
    remote: str | None
    """what the receiver calls it"""
    problem: str | None
    who: str | None
    """who let it be tried again, or gave it up"""
    reason: str | None


class OutboxDocument(Document):
    """Messages, newest first, and how many there are."""

    document: ClassVar[str] = "outbox"
    unrouted: int
    """notices for which nobody has looked whom they reach"""
    waiting: int
    parked: int
    overdue_since: Moment | None
    """since when something waits that might have been sent; null: nothing does"""
    deliveries: tuple[DeliveryFacts, ...]


class DeliveryDocument(Document, DeliveryFacts):
    """One message to one receiver."""

    document: ClassVar[str] = "delivery"


def listed(
    work: Workspace,
    states: Collection[DeliveryState] = tuple(DeliveryState),
    kinds: Collection[NoticeKind] = (),
    limit: int = 20,
) -> OutboxDocument:
    """Messages in these states, of these kinds if any are named."""
    with work.warehouse.reading() as connection:
        if not is_there(connection):
            return OutboxDocument(unrouted=0, waiting=0, parked=0, overdue_since=None, deliveries=())
        counts = outbox.counts(connection)
        return OutboxDocument(
            unrouted=outbox.unrouted_count(connection),
            waiting=counts.get(DeliveryState.WAITING, 0),
            parked=counts.get(DeliveryState.PARKED, 0),
            overdue_since=outbox.oldest_overdue(connection),
            deliveries=tuple(map(facts, outbox.listed(connection, states, limit, kinds))),
        )


def required(work: Workspace, typed: str) -> Delivery:
    """The delivery that `typed` means. Raises DeclarationError when there is none, or several."""
    with work.warehouse.reading() as connection:
        name = choosing.of(connection, "delivery", typed)
        found = outbox.numbered(connection, int(name.rpartition("-")[2]))
    if found is None:
        raise DeclarationError(f"no delivery {typed!r}; see: dataops outbox list")
    return found


def facts(delivery: Delivery) -> DeliveryFacts:
    """Of a record."""
    names = set(DeliveryFacts.model_fields) - {"delivery"}
    return DeliveryFacts(delivery=delivery.delivery_id, **{name: getattr(delivery, name) for name in names})


def document(delivery: Delivery) -> DeliveryDocument:
    """Of a record, as a document."""
    return DeliveryDocument(**facts(delivery).model_dump())


def state_of(text: str) -> DeliveryState:
    """Raises DeclarationError naming the states there are."""
    try:
        return DeliveryState(text)
    except ValueError:
        raise DeclarationError(f"no state {text!r} of a delivery; there are {', '.join(DeliveryState)}") from None
