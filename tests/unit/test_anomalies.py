"""What is unusual is found, and what chance does is not: pure series, no warehouse."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from dataops.gate.seasonal import LEAST_HISTORY, Expected, expected

pytestmark = pytest.mark.unit

SENSITIVITY = 5.0
Day = Callable[[random.Random, int], float]


def flat(rnd: random.Random, _: int) -> float:
    return rnd.gauss(300, 300**0.5)


def week(rnd: random.Random, day: int) -> float:
    usual = 30 if day % 7 > 4 else 300
    return rnd.gauss(usual, usual**0.5)


def growing(rnd: random.Random, day: int) -> float:
    return rnd.gauss(300 + 5 * day, 300**0.5)


def few(rnd: random.Random, _: int) -> float:
    """Twenty-eight orders, of which some have many lines."""
    return sum(rnd.choice([1, 2, 2, 3, 3, 4, 20]) for _ in range(28))


def series(day: Day, seed: int, days: int = 60) -> list[float]:
    rnd = random.Random(seed)  # noqa: S311  not a secret
    return [day(rnd, number) for number in range(days)]


def judged(values: list[float], value: float, period: int | None = 7) -> float:
    steps = list(range(len(values)))
    usual = expected(steps, values, len(values), period, max(1.0, 0.05 * sum(values) / len(values)))
    assert usual is not None
    return usual.surprise(value)


@pytest.mark.parametrize("day", [flat, week, growing, few])
def test_what_chance_does_in_ten_histories_of_sixty_days_is_never_unusual(day: Day) -> None:
    worst = 0.0
    for seed in range(10):
        values = series(day, seed)
        worst = max([worst, *(abs(judged(values[:n], values[n])) for n in range(LEAST_HISTORY, 60))])
    assert worst < SENSITIVITY


@pytest.mark.parametrize("days", [10, 20, 30, 60])
def test_half_a_day_and_a_double_day_are_found(days: int) -> None:
    values = series(flat, 7, days)
    assert judged(values, 150) < -SENSITIVITY
    assert judged(values, 600) > SENSITIVITY


def test_with_three_weeks_a_sunday_like_a_monday_is_found_and_a_sunday_is_not() -> None:
    values = series(week, 7, 26)  # the next day is a Saturday
    assert abs(judged(values, 30)) < SENSITIVITY
    assert judged(values, 300) > SENSITIVITY
    assert judged(series(week, 7, 28), 150) < -SENSITIVITY


def test_a_bad_day_in_the_history_hides_no_other() -> None:
    values = series(flat, 7, 30)
    values[12] = 3000.0
    assert judged(values, 150) < -SENSITIVITY
    assert abs(judged(values, 305)) < SENSITIVITY


def test_days_without_a_batch_do_not_shift_the_week() -> None:
    values = series(week, 7, 40)
    steps = [n for n in range(40) if n not in {20, 21, 33}]
    usual = expected(steps, [values[n] for n in steps], 40, 7, 1.0)
    assert usual is not None
    assert usual.value < 100, "the fortieth day is a Saturday"


def test_too_little_history_says_nothing_and_the_floor_is_the_least_scale() -> None:
    assert expected(range(7), [5.0] * 7, 7, None, 1.0) is None
    assert expected(range(8), [5.0] * 8, 8, None, 0.5) == Expected(5.0, 0.5)
