"""Sums and differences of exact numbers: Python's own context would round them to 28 digits without a word."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, Inexact

_EXACT = Context(prec=200, traps=[Inexact])  # a warehouse's numbers have 38 digits, sums of many a few more


def total(numbers: Iterable[str | int | Decimal]) -> Decimal:
    """The sum, exact. Raises decimal.Inexact where 200 digits are not enough."""
    found = Decimal(0)
    for number in numbers:
        found = _EXACT.add(found, Decimal(number))
    return found


def difference(number: str | Decimal, others: Iterable[str | Decimal]) -> Decimal:
    """What is left of `number` when all of `others` are taken away, exact."""
    return _EXACT.subtract(Decimal(number), total(others))
