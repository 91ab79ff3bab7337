"""Currency rates: one per day and foreign currency, from the US dollar."""

import numpy as np
import pyarrow as pa

from dataops.sources.arrow import Array
from dataops.sources.generator.columns import Ints, moments, money, picked, repeated, whole
from dataops.sources.generator.lists import column, lists
from dataops.sources.generator.shape import START, Series, Shape

_ABROAD = {"CA": "CAD", "FR": "EUR", "DE": "EUR", "AU": "AUD", "GB": "GBP"}


def _currencies() -> int:
    return len(lists()["rates"])


def rates(shape: Shape) -> Series:
    """The rates as a series; one day more than there are orders, for the new orders of a delta."""
    return Series(_currencies() * (shape.days + 1), shape.days + 1)


def rate_id(shape: Shape, territory: Ints, day: Ints) -> Ints:
    """Key of the rate of the day for a territory's currency; 0 in the United States."""
    codes = column("currencies", 0)
    currency = np.array([codes.index(_ABROAD[land]) if land in _ABROAD else -1 for land in column("territories", 1)])
    chosen = currency[territory - 1]
    return np.where(chosen < 0, 0, np.minimum(day, shape.days) * _currencies() + chosen + 1)


def rate_columns(shape: Shape, index: Ints) -> dict[str, Array]:
    """Sales.CurrencyRate; rates swing slowly by five in a hundred, the end of a day lies close to its average."""
    currency = index % _currencies()
    day = rates(shape).day(index)
    base = np.array(lists()["rates"])[currency]
    average = base + (base * np.sin(day / 50 + currency) / 20).astype(np.int64)
    date = moments(day + START)
    return {
        "currency_rate_id": whole(index + 1, pa.int32()),
        "currency_rate_date": date,
        "from_currency_code": repeated("USD", len(index)),
        "to_currency_code": picked(column("currencies", 0), currency),
        "average_rate": money(average),
        "end_of_day_rate": money(average + average // 500),
        "modified_date": date,
    }
