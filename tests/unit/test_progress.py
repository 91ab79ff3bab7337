"""How far a load is, as a line on a terminal."""

from __future__ import annotations

import pytest

from dataops.cli.progress import Progress

pytestmark = pytest.mark.unit


class Clock:
    """Goes as a test says."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rows_and_their_rate_are_said_and_the_time_left_where_their_number_is_known() -> None:
    said: list[str] = []
    clock = Clock()
    progress = Progress(said.append, "loading sales", total=400_000, clock=clock)
    clock.now = 10
    progress.tell("order", 40_000)
    progress.tell("order", 45_000)  # too soon to be said
    clock.now = 20
    progress.tell("order_line", 55_000)
    assert said == [
        "loading sales: order, 40,000 rows, 4,000 rows/s, 2 min left",
        "loading sales: order_line, 100,000 rows, 5,000 rows/s, 1 min left",
    ]


def test_of_several_pieces_the_time_left_follows_from_those_that_are_done() -> None:
    said: list[str] = []
    clock = Clock()
    progress = Progress(said.append, "", pieces=4, clock=clock)
    progress.next_piece("loading sales 2026-01-01..2026-02-01")
    clock.now = 1
    progress.tell("order", 1000)
    progress.next_piece("loading sales 2026-02-01..2026-03-01")
    clock.now = 10
    progress.tell("order", 500)
    assert said == [
        "loading sales 2026-01-01..2026-02-01 (1 of 4): order, 1,000 rows, 1,000 rows/s",
        "loading sales 2026-02-01..2026-03-01 (2 of 4): order, 500 rows, 150 rows/s, 30 s left",
    ]
