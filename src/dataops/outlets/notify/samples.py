"""A message of each kind with invented content: to see that a channel works and what people will get."""

from __future__ import annotations

from collections.abc import Iterator

from dataops.declared.errors import DeclarationError
from dataops.ledger import clock
from dataops.ledger.enums import Channel, DeliveryState, NoticeKind
from dataops.ledger.outbox import Delivery, To
from dataops.outlets.notify import addressing
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.port import Channels, Errand
from dataops.outlets.notify.story import Fact, Link, Para, Story, Table
from dataops.outlets.refusals import LaterError, RefusedError, UnconfiguredError

NOTE = "This is a test: nothing of it happened. Somebody ran: dataops notify test"


def receivers(desk: Desk, address: str | None) -> list[To]:
    """Who gets the samples: one address, or those who operate the platform. Raises DeclarationError without any."""
    if address is not None:
        found = list(addressing.addressed(address, [], clock.now()))
        if not found:
            raise DeclarationError(f'{address!r} is no address: write "#channel" or a mail address')
        return found
    routing = desk.work.settings.project.messages.operations
    found = [to for route in (routing.to if routing else ()) for to in addressing.addressed(route.to, [], clock.now())]
    if not found:
        raise DeclarationError("project.yml: messages: operations: names nobody; say --to ADDRESS")
    return found


def stories(desk: Desk) -> dict[NoticeKind, Story]:
    """One of each kind."""
    money, today = desk.money("1204311.90"), (Link("Today", desk.site("index.html")),)
    return {
        NoticeKind.INCIDENT: Story(
            sentence="Test: ■ Orders held: unit price is the list price. 653 of 3,353 rows. INC-0000",
            title="Test: ■ Orders held: unit price is the list price",
            paras=(
                Para("Batch orders-0000 was not published. Nothing is lost.", "Figures of orders stay at yesterday."),
                Para("are affected; allowed are 5.0 % of money.", f"653 of 3,353 rows and {money}"),
            ),
            facts=(Fact("Owner", "owner@example.org", is_person=True), Fact("Since", clock.now())),
            table=Table(("order", "line"), (("71774", "1"), ("71774", "2")), 651),
            notes=(NOTE,),
            links=today,
            run="dataops incidents list",
        ),
        NoticeKind.QUARANTINE: Story(
            sentence="Test: ◪ Orders published; 14 rows kept back.",
            title="Test: ◪ Orders published; 14 rows kept back",
            paras=(Para("14 rows of 3,353 (0.4 %) wait in quarantine.", "orders-0000 is live."),),
            notes=(NOTE,),
            links=today,
            run="dataops quarantine list",
        ),
        NoticeKind.REPORT: Story(
            sentence="Test: a report, last month: revenue 1,204,311.90.",
            title="Test: a report, last month",
            paras=(Para("", f"Revenue {money}, the same as the month before."),),
            table=Table(("Figure", "Value"), (("Revenue", "1,204,311.90"), ("Orders", "2,411"))),
            notes=(NOTE,),
            links=today,
        ),
        NoticeKind.REPORT_WAITS: Story(
            sentence="Test: waiting: a report, last month – orders is held.",  # noqa: RUF001
            title="Test: ◔ waiting: a report, last month – orders is held",  # noqa: RUF001
            paras=(Para("It follows by itself when they are published."),),
            notes=(NOTE,),
            links=today,
        ),
        NoticeKind.DIGEST: Story(
            sentence="Test: ● yesterday: all published.",
            title="Test: ● yesterday: all published",
            facts=(Fact("Batches published", "34 of 35"), Fact("Rows in quarantine", "0")),
            notes=(NOTE,),
            links=today,
        ),
    }


def send(desk: Desk, channels: Channels, to: To) -> Iterator[tuple[NoticeKind, str]]:
    """Sends one of each kind to a receiver, past the outbox; yields each kind and how it ended."""
    try:
        port = channels[to.channel]()
    except UnconfiguredError as problem:
        yield NoticeKind.INCIDENT, str(problem)
        return
    for number, (kind, story) in enumerate(stories(desk).items()):
        try:
            sent = port.send(
                Errand(delivery(kind, to.channel, to.whom, number), story, opened=None, is_uncertain=False)
            )
        except (RefusedError, LaterError) as problem:
            yield kind, str(problem)
        else:
            yield kind, f"delivered{f' as {sent.remote}' if sent.remote else ''}"


def delivery(kind: NoticeKind, channel: Channel, whom: str, number: int = 0, what: str | None = None) -> Delivery:
    """A delivery that no ledger knows."""
    now = clock.now()
    return Delivery(
        seq=number,
        kind=kind,
        what=what or f"test {kind.value} {now:%Y-%m-%dT%H:%M:%S.%f}",
        subject=what or "test",
        channel=channel,
        whom=whom,
        state=DeliveryState.WAITING,
        attempts=0,
        due_at=now,
        created_at=now,
    )
