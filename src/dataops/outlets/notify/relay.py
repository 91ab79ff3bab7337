"""Sends what waits in the outbox: wakes what time has brought about, finds whom each notice reaches, makes deliveries.

One pass at a time; nothing of the warehouse is locked while a receiver is spoken to.
"""

from __future__ import annotations

from dataops.declared.failpoint import failpoint
from dataops.ledger import heartbeats, outbox
from dataops.ledger.heartbeats import Beat
from dataops.ledger.schema import is_there, writing
from dataops.ledger.workspace import Workspace
from dataops.outlets.notify import addressing, waking
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.port import Channels
from dataops.outlets.notify.sending import Messages
from dataops.outlets.outcomes import Passed
from dataops.pipeline import watch_platform

ROUTED = 100  # notices in one transaction


def relay(work: Workspace, channels: Channels) -> Passed:
    """Sends everything that is due now. Raises PlatformError when another pass does not end in time."""
    with work.warehouse.lock("outbox", "send messages"):
        if not _has_ledger(work):
            return Passed()
        desk, passed = Desk(work), Passed()
        with writing(work.warehouse) as connection:
            heartbeats.note(connection, Beat.RELAY)
            watch_platform.look_for_watch(connection)
            waking.wake(connection, desk)
        passed.routed = _route(work, desk)
        Messages(desk, channels, passed).run()
        return passed


def _has_ledger(work: Workspace) -> bool:
    with work.warehouse.reading() as connection:
        return is_there(connection)


def _route(work: Workspace, desk: Desk) -> int:
    """Makes deliveries of every notice."""
    routed = 0
    while True:
        with writing(work.warehouse) as connection:
            notices = outbox.unrouted(connection, ROUTED)
            for notice in notices:
                outbox.route(connection, notice, addressing.receivers(connection, desk, notice))
        failpoint("notices_routed")
        routed += len(notices)
        if len(notices) < ROUTED:
            return routed
