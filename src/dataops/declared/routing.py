"""Whom messages reach, as people declare it: `routing:` of a checkpoint, `messages:` of project.yml.

Pure: it knows addresses, hours and zones, not what a message says.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dataops.declared.yaml_files import Strict

OWNER = "owner"
"""In the place of an address: who owns the datasets that a message is about."""
CHANNEL = r"#[a-z0-9][a-z0-9_-]{0,79}"
MAIL = r"[^@\s,;<>\"]+@[^@\s,;<>\"]+"
Every = Literal["day", "week"]


def zone(name: str) -> str:
    """Raises ValueError for a name that is no time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{name!r} is no time zone such as UTC or America/Los_Angeles") from None
    return name


def _address(text: str) -> str:
    if re.fullmatch(rf"{CHANNEL}|{MAIL}|{OWNER}", text):
        return text
    raise ValueError(f'{text!r} is no address: write "#channel", a mail address, or {OWNER}')


def _hour(text: object) -> object:
    """`07:30`."""
    if isinstance(text, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        return dt.time.fromisoformat(text)
    raise ValueError(f'{text!r} is no time of day such as "07:30"')


def _bytes(text: object) -> object:
    """`5 MB` as 5,000,000."""
    found = re.fullmatch(r"([1-9][0-9]*) ?(kB|MB)", text) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"{text!r} is no size such as 5 MB")
    return int(found[1]) * {"kB": 1_000, "MB": 1_000_000}[found[2]]


Zone = Annotated[str, AfterValidator(zone)]
Address = Annotated[str, AfterValidator(_address)]
Hour = Annotated[dt.time, BeforeValidator(_hour)]
Size = Annotated[int, BeforeValidator(_bytes)]


class Route(Strict):
    """One address, and what it is told when.

    `at_once`: what is told the moment that it happens; the rest is in the digest.
    """

    to: Address
    at_once: Literal["critical", "warning", "nothing"] = "critical"
    digest: Every | Literal["never"] = "never"


class Quiet(Strict):
    """Hours in which only what is critical is told; the rest waits until they are over."""

    after: Hour
    until: Hour
    zone: Zone

    def over(self, moment: dt.datetime) -> dt.datetime:
        """When a message of this moment may be sent; both are UTC without a zone."""
        own = ZoneInfo(self.zone)
        local = moment.replace(tzinfo=dt.UTC).astimezone(own)
        time, across = local.time(), self.until <= self.after
        is_quiet = time >= self.after or time < self.until if across else self.after <= time < self.until
        if not is_quiet:
            return moment
        day = local.date() + dt.timedelta(days=int(across and time >= self.after))
        return dt.datetime.combine(day, self.until, own).astimezone(dt.UTC).replace(tzinfo=None)


class Escalation(Strict):
    """Who is told as well when nobody has acknowledged a critical incident after some hours."""

    after_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    to: Annotated[tuple[Address, ...], Field(min_length=1)]


class Routing(Strict):
    """Who is told of a group."""

    to: Annotated[tuple[Route, ...], Field(min_length=1)]
    quiet: Quiet | None = None
    escalate: Escalation | None = None

    @model_validator(mode="after")
    def _addresses_are_unique(self) -> Routing:
        names = [route.to for route in self.to]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{twice[0]} is listed twice; one route says all of an address")
        return self


class Digest(Strict):
    """A digest of every group."""

    to: Address
    every: Every


class Messages(Strict):
    """The block `messages:` of project.yml: what is the same for every group."""

    zone: Zone | None = None  # of the hours below; the project's own where it is not said
    day_at: Hour = dt.time(7)
    week_at: Hour = dt.time(7, 30)  # on Mondays
    digests: tuple[Digest, ...] = ()
    operations: Routing | None = None  # who is told of the platform itself; without it nobody is
    people: dict[Annotated[str, Field(pattern=rf"^{MAIL}$")], Annotated[str, Field(pattern=r"^[UWS][A-Z0-9]+$")]] = (
        Field(default_factory=dict)  # mail address -> Slack's id of the person or user group, who is then mentioned
    )
    largest_attachments: Size = 5_000_000  # of one mail; a link stands for what is larger


def due_after(moment: dt.datetime, at: dt.time, zone_name: str, *, monday: bool = False) -> dt.datetime:
    """The last instant at or before `moment` (UTC without a zone) at which the clock of a zone said `at`."""
    own = ZoneInfo(zone_name)
    day = moment.replace(tzinfo=dt.UTC).astimezone(own).date() + dt.timedelta(days=1)
    while True:
        found = dt.datetime.combine(day, at, own).astimezone(dt.UTC).replace(tzinfo=None)
        if found <= moment and (not monday or day.weekday() == 0):
            return found
        day -= dt.timedelta(days=1)


def next_at(moment: dt.datetime, at: dt.time, zone_name: str) -> dt.datetime:
    """The first instant at or after `moment` at which the clock of a zone says `at`."""
    found = due_after(moment + dt.timedelta(days=1), at, zone_name)
    return found if found >= moment else due_after(moment + dt.timedelta(days=2), at, zone_name)
