"""Messages of one round: each is written from the facts of now, then sent by its channel."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from dataops.declared.errors import PlatformError
from dataops.ledger import outbox
from dataops.ledger.enums import Channel, NoticeKind
from dataops.ledger.outbox import Delivery
from dataops.outlets.notify import stories
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.port import Channel as Port
from dataops.outlets.notify.port import Channels, Errand
from dataops.outlets.notify.story import Story
from dataops.outlets.outcomes import Passed, first_line
from dataops.outlets.refusals import NeedlessError, Sent, UnconfiguredError
from dataops.outlets.rounds import Round
from dataops.outlets.site import data_docs


class Messages(Round):
    """Every message that is due. The pages that they lead to are brought up to date before the first one leaves."""

    def __init__(self, desk: Desk, channels: Channels, passed: Passed) -> None:
        super().__init__(desk.work, passed)
        self._desk = desk
        self._openers = channels
        self._opened: dict[Channel, Port] = {}
        self._first: dict[int, Delivery | None] = {}  # the message that opened the thread
        self._written: dict[int, Story | Exception] = {}
        self._pages = False

    def next_due(self, connection: Connection, limit: int) -> list[Delivery]:
        due = outbox.due(connection, limit, self._openers.keys() - self.closed)
        self._first = {delivery.seq: outbox.first_of(connection, delivery) for delivery in due}
        return due

    def prepare(self, due: list[Delivery]) -> None:
        if not self._pages:
            self._pages = self._build_pages()
        for channel in {delivery.channel for delivery in due} - self._opened.keys():
            self._open(channel)
        with self.work.warehouse.session():
            self._written = {delivery.seq: self._story(delivery) for delivery in due if self.may_go(delivery)}

    def send(self, delivery: Delivery) -> Sent:
        story = self._written.get(delivery.seq, NeedlessError("not now"))
        if isinstance(story, Exception):
            raise story
        return self._opened[delivery.channel].send(_errand(delivery, story, self._first[delivery.seq]))

    def _story(self, delivery: Delivery) -> Story | Exception:
        try:
            return stories.of(self._desk, delivery)
        except Exception as problem:  # noqa: BLE001  what cannot be written must not stop what can
            return problem

    def _open(self, channel: Channel) -> None:
        try:
            self._opened[channel] = self._openers[channel]()
        except UnconfiguredError as problem:
            self.closed.add(channel)
            self.passed.unconfigured[channel] = str(problem)

    def _build_pages(self) -> bool:
        try:
            data_docs.build(self.work)
        except PlatformError as problem:  # a message that leads to an older page is better than none
            self.passed.problems.append(first_line(problem))
        return True


def _errand(delivery: Delivery, story: Story, first: Delivery | None) -> Errand:
    is_incident = delivery.kind is NoticeKind.INCIDENT
    return Errand(
        delivery=delivery,
        story=story,
        opened=first.remote if first else None,
        is_uncertain=delivery.tried_at is not None,
        edits=is_incident,
        is_step=is_incident and story.is_step,
    )
