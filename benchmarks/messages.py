"""Ten thousand messages through the outbox: rate, memory, size of the ledger; beside the same without a ledger.

Half of them are Slack messages, half mails, one of each per incident, into receivers that take everything at once: what
is measured is ours. `--warehouse` names a PostgreSQL database, in which schema `ops` must not be in use.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import measuring
from dataops.declared import settings
from dataops.ledger import incidents, outbox, schema
from dataops.ledger.enums import Channel, DeliveryState, IncidentKind
from dataops.ledger.incidents import Detail
from dataops.ledger.outbox import Delivery
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.outlets.notify import mail, relay, slack, stories
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.port import Errand
from dataops.outlets.refusals import Sent

PROJECT = Path(__file__).resolve().parents[1]
SENDER = "data@example.org"


class Taking:
    """A receiver that takes everything: the message is written out and forgotten."""

    taken = 0

    def send(self, errand: Errand) -> Sent:
        """Writes it as it would leave."""
        if errand.delivery.channel is Channel.SLACK:
            slack.message(errand.story, {})
        else:
            mail.message(errand.story, errand.delivery, SENDER).as_bytes()
        self.taken += 1
        return Sent(remote=f"C0:{self.taken}")


def main() -> int:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--warehouse")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        environ = {"DATAOPS_HOME": home} | ({"DATAOPS_WAREHOUSE_URL": asked.warehouse} if asked.warehouse else {})
        work = open_workspace(settings.load(environ, PROJECT))
        with schema.writing(work.warehouse):
            pass
        before = measuring.ledger_bytes(work)
        noted = measuring.timed(lambda: _open(work, asked.messages // 2))
        receiver = Taking()
        sent = measuring.timed(lambda: relay.relay(work, dict.fromkeys(Channel, lambda: receiver)))
        with work.warehouse.reading() as connection:
            deliveries = outbox.listed(connection, [DeliveryState.DELIVERED], asked.messages)
        bare = measuring.timed(lambda: _without_ledger(work, deliveries))
        _say(work, asked.messages, before, noted, sent, bare, len(deliveries))
    return 0


def _open(work: Workspace, number: int) -> None:
    for first in range(0, number, 500):
        with schema.writing(work.warehouse) as connection:
            for n in range(first, min(number, first + 500)):
                text = f"rule {n} failed"
                incidents.open_for(connection, "sales", 0, text, Detail(), kind=IncidentKind.HELD, cause=f"{n}")


def _without_ledger(work: Workspace, deliveries: list[Delivery]) -> None:
    """The same stories, written the same way, and nothing noted."""
    desk, receiver = Desk(work), Taking()
    with work.warehouse.session():
        for delivery in deliveries:
            receiver.send(Errand(delivery, stories.of(desk, delivery), opened=None, is_uncertain=False))


def _say(work: Workspace, wanted: int, before: int, noted: float, sent: float, bare: float, made: int) -> None:
    grown = measuring.ledger_bytes(work) - before
    peak = measuring.peak()
    print(f"warehouse  {work.warehouse.dialect}; {os.cpu_count()} cores")
    print(f"messages   {made:,} of {wanted:,} delivered")
    print(
        f"noting     {noted:.1f} s, {1000 * noted / (wanted / 2):.2f} ms per incident, in its own transactions of 500"
    )
    print(f"relay      {sent:.1f} s, {made / sent:.0f} messages a second")
    print(f"no ledger  {bare:.1f} s; the outbox costs {sent / bare:.2f} times as much")
    print(f"memory     {peak:.0f} MiB at most")
    print(f"ledger     {grown / 2**20:.1f} MiB more, {grown / made:.0f} bytes per message")


if __name__ == "__main__":
    sys.exit(main())
