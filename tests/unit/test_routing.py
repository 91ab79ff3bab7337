"""Whom messages reach, as declared: addresses, hours, zones, sizes, and that every key is read."""

from __future__ import annotations

import ast
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from dataops.declared import routing
from dataops.declared.declarations import CheckpointFile, Platform
from dataops.declared.project import Project
from dataops.declared.reports import Receiver, ReportFile
from dataops.declared.routing import Messages, Quiet, Routing, due_after, next_at

pytestmark = pytest.mark.unit
SOURCE = Path(__file__).resolve().parents[2] / "src/dataops"
READERS = ("outlets/notify/**/*.py", "declared/routing.py", "declared/project.py", "airflow/channels.py")
"""Who may read what says who is told; words such as `quiet` mean something else elsewhere."""
NIGHT = Quiet.model_validate({"after": "20:00", "until": "07:00", "zone": "Europe/Berlin"})
NOON = Quiet.model_validate({"after": "12:00", "until": "13:30", "zone": "UTC"})


@pytest.mark.parametrize(
    ("quiet", "moment", "due"),
    [
        (NIGHT, "2026-01-10 18:59", "2026-01-10 18:59"),  # one minute before eight in the evening there
        (NIGHT, "2026-01-10 19:00", "2026-01-11 06:00"),
        (NIGHT, "2026-01-11 05:59", "2026-01-11 06:00"),
        (NIGHT, "2026-01-11 06:00", "2026-01-11 06:00"),
        (NIGHT, "2026-07-10 18:30", "2026-07-11 05:00"),  # in summer
        (NIGHT, "2026-03-28 23:00", "2026-03-29 05:00"),  # the night in which an hour is left out
        (NOON, "2026-01-10 12:00", "2026-01-10 13:30"),
        (NOON, "2026-01-10 13:30", "2026-01-10 13:30"),
    ],
)
def test_quiet_hours_end_by_the_clock_of_their_zone(quiet: Quiet, moment: str, due: str) -> None:
    assert quiet.over(datetime.fromisoformat(moment)) == datetime.fromisoformat(due)


def test_digests_are_due_by_the_clock_of_their_zone() -> None:
    now = datetime(2026, 11, 27, 14, 59)  # a Friday
    assert due_after(now, time(7), "America/Los_Angeles") == datetime(2026, 11, 26, 15)
    assert due_after(now + timedelta(minutes=1), time(7), "America/Los_Angeles") == datetime(2026, 11, 27, 15)
    assert due_after(now, time(7, 30), "America/Los_Angeles", monday=True) == datetime(2026, 11, 23, 15, 30)
    assert next_at(now, time(7), "America/Los_Angeles") == datetime(2026, 11, 27, 15)
    assert next_at(now + timedelta(minutes=2), time(7), "America/Los_Angeles") == datetime(2026, 11, 28, 15)


@pytest.mark.parametrize(
    ("model", "content", "says"),
    [
        (Routing, {"to": []}, "at least 1 item"),
        (Routing, {"to": [{"to": "dq-sales"}]}, 'is no address: write "#channel", a mail address, or owner'),
        (Routing, {"to": [{"to": "#Sales Team"}]}, "is no address"),
        (Routing, {"to": [{"to": "a@b, c@d"}]}, "is no address"),
        (Routing, {"to": [{"to": "a@b\nBcc: c@d"}]}, "is no address"),
        (Routing, {"to": [{"to": "#a", "digest": "month"}]}, "Input should be 'day' or 'week'"),
        (Routing, {"to": [{"to": "#a", "severty": "critical"}]}, "Extra inputs are not permitted"),
        (Routing, {"to": [{"to": "#a"}, {"to": "#a"}]}, "#a is listed twice"),
        (Routing, {"to": [{"to": "#a"}], "escalate": {"after_hours": 0, "to": ["#b"]}}, "greater than 0"),
        (Routing, {"to": [{"to": "#a"}], "quiet": {"after": "8pm", "until": "07:00", "zone": "UTC"}}, "no time of day"),
        (
            Routing,
            {"to": [{"to": "#a"}], "quiet": {"after": "20:00", "until": "07:00", "zone": "Mars"}},
            "no time zone",
        ),
        (Messages, {"people": {"a@b": "anna"}}, "String should match"),
        (Messages, {"largest_attachments": "big"}, "no size such as 5 MB"),
        (Receiver, {"to": "owner"}, 'goes to a mail address or a "#channel"'),
        (Receiver, {"to": "a@b", "at": 7}, "no time of day"),
        (Receiver, {"to": "a@b", "unchanged": "never"}, "'send', 'on Mondays' or 'skip'"),
    ],
)
def test_a_mistake_is_an_error_that_says_what_is_right(model: type[BaseModel], content: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says.replace("[", r"\[")):
        model.model_validate(content)


def test_every_key_that_says_who_is_told_is_read() -> None:
    """A key that nobody reads would be a promise that nobody keeps."""
    read = {
        node.attr
        for place in READERS
        for file in sorted(SOURCE.glob(place))
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    models = [m for m in vars(routing).values() if isinstance(m, type) and issubclass(m, BaseModel)]
    keys = {f"{m.__name__}.{name}" for m in (*models, Receiver) for name in m.model_fields}
    assert {"Routing.quiet", "Quiet.zone", "Escalation.after_hours", "Messages.people", "Receiver.at"} <= keys
    assert [key for key in sorted(keys) if key.partition(".")[2] not in read] == []
    for model, name in ((CheckpointFile, "routing"), (CheckpointFile, "owner"), (Platform, "owner"),
                        (Project, "messages"), (ReportFile, "owner")):  # fmt: skip
        assert name in model.model_fields
        assert name in read
