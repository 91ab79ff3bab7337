"""How it ends when somebody is told something, or is sent it: it was taken, or refused in one of these ways."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sent:
    """It was taken, or there was nothing to send; `remote`: what the receiver calls it."""

    remote: str | None = None
    note: str | None = None
    was_needless: bool = False


class NeedlessError(Exception):
    """There is nothing to say any more."""


class RefusedError(Exception):
    """The receiver will not take it, however often it is tried: no such channel or mailbox, no right, too large."""


class LaterError(Exception):
    """It did not get through now. `after`: seconds for which the receiver asks to be left alone; None: it asks nothing.

    `for_all`: the channel itself is out of order, so nothing else need be tried by it now. `not_taken`: the receiver
    said so, so it cannot have arrived.
    """

    def __init__(self, why: str, after: float | None = None, *, for_all: bool = False, not_taken: bool = False) -> None:
        super().__init__(why)
        self.after = after
        self.for_all = for_all
        self.not_taken = not_taken


class UnconfiguredError(Exception):
    """There is no connection for this channel; what goes by it stays in the outbox."""
