"""What the relay asks of a channel, and how a channel refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dataops.ledger.enums import Channel as Name
from dataops.ledger.outbox import Delivery
from dataops.outlets.notify.story import Story
from dataops.outlets.refusals import Sent


@dataclass(frozen=True)
class Errand:
    """One delivery to be made: the story, and what went before it in its thread."""

    delivery: Delivery
    story: Story
    opened: str | None
    """what the receiver calls the message that opened the thread"""
    is_uncertain: bool
    """an earlier attempt may have arrived: nobody knows how it ended"""
    edits: bool = False
    """it changes the message that opened its thread, instead of standing beside it"""
    is_step: bool = False
    """it is neither an opening nor an ending: whoever cannot edit is spared it"""


class Channel(Protocol):
    """Slack, mail, files. Whatever a receiver does, it raises RefusedError or LaterError, and nothing else."""

    def send(self, errand: Errand) -> Sent:
        """Makes one delivery."""


Channels = dict[Name, Callable[[], Channel]]
"""How each channel is opened; opening one raises UnconfiguredError where there is no connection."""
