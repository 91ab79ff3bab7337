"""What may happen to the shop, drawn by hypothesis, and the oracle: which rows should stand after each delivery.

The oracle is the gate and publish once more in plain Python over dictionaries, slow and obvious, so that the engine
has something to be compared with that shares none of its SQL.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from dataops.sources.port import Request, Window
from tests.support.shop import SCHEMAS, Row, Shop, customer, line, order

NAMES = {"customer": "Sales.Customer", "sales_order": "Sales.SalesOrder", "order_line": "Sales.OrderLine"}
KEYS = {"customer": ("customer_id",), "sales_order": ("order_id",), "order_line": ("order_id", "line_id")}
CONTROLS = {"customer": (), "sales_order": ("sub_total",), "order_line": ("amount", "qty")}
COLUMNS = {table: tuple(SCHEMAS[source].names) for table, source in NAMES.items()}
GROUPS = {"reference": ("customer",), "sales": ("sales_order", "order_line")}
DAY = timedelta(days=1)
Key = tuple[Any, ...]
Values = tuple[Any, ...]
Tables = dict[str, dict[Key, Values]]


@dataclass
class RecordingShop(Shop):
    """A shop that remembers which rows it delivered, in order: `_row` is their position."""

    sent: dict[str, list[Row]] = field(default_factory=dict)

    def read(self, request: Request) -> pa.RecordBatchReader:
        rows = self.rows(request.source_table)
        self.sent[request.source_table] = [dict(row) for row in rows if self._wanted(row, request)]
        return super().read(request)

    def received(self, table: str) -> list[Row]:
        return self.sent[NAMES[table]]


def _free(rows: list[Row], name: str) -> int:
    taken = {row[name] for row in rows}
    return next(number for number in count(1) if number not in taken)


def _set(rows: list[Row], a: int, **values: Any) -> None:
    if rows:
        rows[a % len(rows)].update(values)


def _drop(rows: list[Row], a: int) -> None:
    if rows:
        del rows[a % len(rows)]


def _twice(rows: list[Row], a: int) -> None:
    if rows:
        rows.append(dict(rows[a % len(rows)]))


def _id(shop: Shop, a: int) -> int | None:
    return shop.orders[a % len(shop.orders)]["order_id"] if shop.orders else None


def _new_order(shop: Shop, a: int, b: int) -> None:
    number = max([0, *(row["order_id"] or 0 for row in (*shop.orders, *shop.lines))]) + 1
    shop.add_order(number, 1 + a % 5, 1 + b % 6, [line(number, n, qty=n) for n in range(1, 1 + a % 3)])


def _drop_order(shop: Shop, a: int) -> None:
    number = _id(shop, a)
    shop.orders[:] = [row for row in shop.orders if row["order_id"] != number]
    shop.lines[:] = [row for row in shop.lines if row["order_id"] != number]


def _quantity(shop: Shop, a: int, quantity: int) -> None:
    if shop.lines:
        row = shop.lines[a % len(shop.lines)]
        row.update(qty=quantity, amount=(row["price"] or Decimal(0)) * quantity)


def _totals(shop: Shop) -> None:
    for row in shop.orders:
        amounts = [r["amount"] for r in shop.lines if r["order_id"] == row["order_id"] and r["amount"] is not None]
        row["sub_total"] = sum(amounts, Decimal(0))


def _repair(shop: Shop) -> None:
    """A source in order again: the same customers and orders, without what was wrong with them."""
    numbers = sorted({row["customer_id"] for row in shop.customers} - {None}) or [1]
    shop.customers[:] = [customer(number) for number in numbers]
    known = {row["order_id"]: row for row in shop.orders if row["order_id"] is not None}
    shop.lines[:] = [line(number, n, qty=n) for number in sorted(known) for n in (1, 2)]
    shop.orders[:] = [
        order(n, numbers[n % len(numbers)], 1 + n % 6, [r for r in shop.lines if r["order_id"] == n])
        for n in sorted(known)
    ]


# What happens between deliveries. Each is (name, a, b): small numbers choose the victim and the damage.
EVENTS = {
    "add_customer": lambda shop, _a, _b: shop.customers.append(customer(_free(shop.customers, "customer_id"))),
    "drop_customer": lambda shop, a, _b: _drop(shop.customers, a),
    "misspell_region": lambda shop, a, b: _set(shop.customers, a, region=["de", "D", "", "DE\n", "ÄÖ", None][b % 6]),
    "repair_region": lambda shop, a, _b: _set(shop.customers, a, region="FR", _problems=None),
    "send_customer_twice": lambda shop, a, _b: _twice(shop.customers, a),
    "lose_customer_id": lambda shop, a, _b: _set(shop.customers, a, customer_id=None),
    "garble_customer": lambda shop, a, _b: _set(
        shop.customers, a, _problems="line 1, modified: 'x' is not a timestamp"
    ),
    "new_order": _new_order,
    "drop_order": lambda shop, a, _b: _drop_order(shop, a),
    "drop_header": lambda shop, a, _b: _drop(shop.orders, a),
    "drop_lines": lambda shop, a, _b: shop.lines.__setitem__(
        slice(None), [r for r in shop.lines if r["order_id"] != _id(shop, a)]
    ),
    "drop_line": lambda shop, a, _b: _drop(shop.lines, a),
    "drop_line_and_tell": lambda shop, a, _b: (_drop(shop.lines, a), _totals(shop)),
    "change_quantity": lambda shop, a, b: (_quantity(shop, a, b + 1), _totals(shop)),
    "exceed_quantity": lambda shop, a, b: (_quantity(shop, a, (0, 1001)[b % 2]), _totals(shop)),
    "contradict_amount": lambda shop, a, _b: _set(shop.lines, a, amount=Decimal("0.5")),
    "contradict_total": lambda shop, a, b: _set(shop.orders, a, sub_total=Decimal(b)),
    "negate_price": lambda shop, a, _b: (_set(shop.lines, a, price=Decimal(-1)), _quantity(shop, a, 2), _totals(shop)),
    "blank_values": lambda shop, a, b: _set(shop.lines, a, **{("qty", "price", "amount")[b % 3]: None}),
    "mark_note": lambda shop, a, _b: _set(shop.lines, a, note="<b>"),
    "send_order_twice": lambda shop, a, _b: _twice(shop.orders, a),
    "send_line_twice": lambda shop, a, _b: _twice(shop.lines, a),
    "lose_line_key": lambda shop, a, b: _set(shop.lines, a, **{("order_id", "line_id")[b % 2]: None}),
    "lose_order_value": lambda shop, a, b: _set(
        shop.orders, a, **{("order_id", "customer_id", "order_date")[b % 3]: None}
    ),
    "garble_line": lambda shop, a, _b: _set(shop.lines, a, _problems="line 2, qty: 'x' is not a whole number"),
    "other_customer": lambda shop, a, b: _set(shop.orders, a, customer_id=1 + b),
    "other_day": lambda shop, a, b: _set(shop.orders, a, order_date=datetime(2014, 5, 1 + b % 6)),
    "repair_all": lambda shop, _a, _b: _repair(shop),
}
LOADS = ("reference", "sales", "sales", "sales", "build")
_small = st.integers(0, 7)
events = st.tuples(st.sampled_from(sorted(EVENTS)), _small, _small)
windows = st.one_of(st.none(), st.tuples(st.integers(1, 6), st.integers(1, 6)))
steps = st.tuples(st.lists(events, max_size=4), st.sampled_from(LOADS), windows)


def happen(shop: Shop, event: tuple[str, int, int]) -> None:
    """Lets one event change the shop."""
    name, a, b = event
    EVENTS[name](shop, a, b)  # type: ignore[no-untyped-call]


def window_of(days: tuple[int, int] | None) -> Window | None:
    """(day, length) of May 2014; None is everything."""
    if days is None:
        return None
    start = datetime(2014, 5, days[0])
    return Window(start, start + days[1] * DAY)


@dataclass
class Expected:
    """What a delivery should come to. `held`: table -> `_row` -> rules it broke itself."""

    verdict: str
    held: dict[str, dict[int, set[str]]]
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        names = ("new", "changed", "deleted", "quarantined")
        return any(counts[name] for counts in self.counts.values() for name in names)


class Oracle:
    """What should stand in `validated` (and `curated`) after every delivery."""

    def __init__(self) -> None:
        self.tables: Tables = {table: {} for table in NAMES}

    def copy(self) -> Tables:
        return {table: dict(rows) for table, rows in self.tables.items()}

    def deliver(self, shop: RecordingShop, group: str, window: Window | None) -> Expected:
        """Judges what the shop sent last, also of what it was asked for again, and applies it if it passes."""
        whole = window is None
        sent = {table: shop.received(table) for table in GROUPS[group]}
        broken = self._reference(sent) if group == "reference" else self._sales(sent)
        held = {table: dict(rows) for table, rows in broken.items()}
        if group == "sales":
            _fall_with_family(sent, held)
        passed = all(sent.values()) and not self._over_quota(sent, broken, held, window)
        if group == "reference":
            passed = passed and self._few_deletions(sent["customer"])
        if not passed:
            return Expected("FAILED", held)
        return Expected("PASSED", held, self._apply(group, sent, held, whole=whole))

    def lines_of_curated(self) -> dict[Key, Values]:
        """curated.fct_line: the join of what is validated."""
        found = {}
        for key, values in self.tables["order_line"].items():
            header = self.tables["sales_order"].get(key[:1])
            buyer = self.tables["customer"].get((header[1],)) if header else None
            if header and buyer:
                found[key] = (*key, header[1], buyer[2], header[2].date(), values[4])
        return found

    def _reference(self, sent: dict[str, list[Row]]) -> dict[str, dict[int, set[str]]]:
        copies = Counter(row["customer_id"] for row in sent["customer"])
        held: dict[int, set[str]] = {}
        for at, row in enumerate(sent["customer"]):
            number, region = row["customer_id"], row["region"]
            broke = {
                "REF-001": number is None,
                "REF-004": number is not None and copies[number] > 1,
                "REF-011": region is not None and not re.fullmatch("[A-Z]{2}", region, re.ASCII),
                "SRC-000:customer": row.get("_problems") is not None,
            }
            _hold(held, at, broke)
        return {"customer": held}

    def _sales(self, sent: dict[str, list[Row]]) -> dict[str, dict[int, set[str]]]:
        return {
            "sales_order": self._orders(sent["sales_order"], sent["order_line"]),
            "order_line": self._lines(sent["order_line"], sent["sales_order"]),
        }

    def _orders(self, orders: list[Row], lines: list[Row]) -> dict[int, set[str]]:
        copies = Counter(row["order_id"] for row in orders)
        held: dict[int, set[str]] = {}
        for at, row in enumerate(orders):
            number, buyer, total = row["order_id"], row["customer_id"], row["sub_total"]
            amounts = [r["amount"] or 0 for r in lines if r["order_id"] == number and number is not None]
            broke = {
                "SAL-001": number is None,
                "SAL-004": number is not None and copies[number] > 1,
                "SAL-005": buyer is not None and (buyer,) not in self.tables["customer"],
                "SAL-006": buyer is None,
                "SAL-007": row["order_date"] is None,
                "SAL-021": total < 0,
                "SAL-022": abs(total - sum(amounts)) > Decimal("0.01"),
                "SRC-000:sales_order": row.get("_problems") is not None,
            }
            _hold(held, at, broke)
        return held

    def _lines(self, lines: list[Row], orders: list[Row]) -> dict[int, set[str]]:
        copies = Counter((row["order_id"], row["line_id"]) for row in lines)
        known = {row["order_id"] for row in orders} | {key[0] for key in self.tables["sales_order"]}
        held: dict[int, set[str]] = {}
        for at, row in enumerate(lines):
            number, qty, price, amount = row["order_id"], row["qty"], row["price"], row["amount"]
            complete = None not in {qty, price, amount}
            broke = {
                "SAL-011": number is None,
                "SAL-014": copies[number, row["line_id"]] > 1,
                "SAL-015": number is not None and number not in known,
                "SAL-016": row["line_id"] is None,
                "SAL-031": qty is not None and not 1 <= qty <= 1000,
                "SAL-032": price is not None and price < 0,
                "SAL-033": complete and abs(amount - qty * price) > Decimal("0.0001"),
                "SRC-000:order_line": row.get("_problems") is not None,
            }
            _hold(held, at, broke)
        return held

    def _over_quota(
        self,
        sent: dict[str, list[Row]],
        broken: dict[str, Any],
        held: dict[str, Any],
        window: Window | None,
    ) -> bool:
        """Half of the rows of either group, nine tenths of the money of the orders; of the window's own rows."""
        orders = sent.get("sales_order", [])
        old = {row["order_id"] for row in orders if _outside(row["order_date"], window)}
        again = sum(_outside(orders[at]["order_date"], window) for at in broken.get("sales_order", ()))
        again += sum(sent["order_line"][at]["order_id"] in old for at in broken.get("order_line", ()))
        new = sum(map(len, broken.values())) - again
        if new / sum(map(len, sent.values())) > 0.5:
            return True
        own = {at: abs(row["sub_total"]) for at, row in enumerate(orders) if not _outside(row["order_date"], window)}
        money = sum(own.values(), Decimal(0))
        kept = sum((own.get(at, Decimal(0)) for at in held.get("sales_order", ())), Decimal(0))
        return bool(money) and kept / money > Decimal("0.9")

    def _few_deletions(self, rows: list[Row]) -> bool:
        there = self.tables["customer"].keys()
        gone = there - {(row["customer_id"],) for row in rows}
        return len(gone) <= 0.5 * len(there)

    def _apply(self, group: str, sent: dict[str, list[Row]], held: Any, *, whole: bool) -> dict[str, Counter[str]]:
        counts = {table: Counter(received=len(sent[table]), quarantined=len(held[table])) for table in GROUPS[group]}
        for table in reversed(GROUPS[group]):
            self._delete(table, sent, held, counts[table], whole=whole)
        for table in GROUPS[group]:
            accepted = [row for at, row in enumerate(sent[table]) if at not in held[table]]
            for row in accepted:
                key, values = _key(table, row), _values(table, row)
                before = self.tables[table].get(key)
                counts[table]["new" if before is None else "unchanged" if before == values else "changed"] += 1
                self.tables[table][key] = values
        return counts

    def _delete(self, table: str, sent: dict[str, list[Row]], held: Any, counts: Counter[str], *, whole: bool) -> None:
        """What a delivery speaks for and does not bring goes, unless other rows refer to it or its family is held."""
        brought = {_key(table, row) for row in sent[table]}
        orders = {row["order_id"] for row in sent.get("sales_order", ())}
        for key in list(self.tables[table].keys() - brought):
            spoken_for = whole or (table == "order_line" and key[0] in orders)
            if not spoken_for or (table != "customer" and key[0] in _families_held(sent, held)):
                continue
            needed = self._referred_to(table, key, sent, held)
            counts["retained" if needed else "deleted"] += 1
            if not needed:
                del self.tables[table][key]

    def _referred_to(self, table: str, key: Key, sent: dict[str, list[Row]], held: Any) -> bool:
        if table == "customer":
            return any(values[1] == key[0] for values in self.tables["sales_order"].values())
        if table == "sales_order":
            new = (row for at, row in enumerate(sent["order_line"]) if at not in held["order_line"])
            return any(k[:1] == key for k in self.tables["order_line"]) or any(r["order_id"] == key[0] for r in new)
        return False


def _outside(moment: datetime | None, window: Window | None) -> bool:
    return window is not None and moment is not None and not window.start <= moment < window.end


def _hold(held: dict[int, set[str]], at: int, broke: dict[str, bool]) -> None:
    rules = {rule for rule, is_broken in broke.items() if is_broken}
    if rules:
        held[at] = rules


def _families_held(sent: dict[str, list[Row]], held: dict[str, dict[int, set[str]]]) -> set[int | None]:
    return {sent[table][at]["order_id"] for table in GROUPS["sales"] for at in held[table]} - {None}


def _fall_with_family(sent: dict[str, list[Row]], held: dict[str, dict[int, set[str]]]) -> None:
    families = _families_held(sent, held)
    for table in GROUPS["sales"]:
        for at, row in enumerate(sent[table]):
            if row["order_id"] in families:
                held[table].setdefault(at, set())


def _key(table: str, row: Row) -> Key:
    return tuple(row[name] for name in KEYS[table])


def _values(table: str, row: Row) -> Values:
    return tuple(row[name] for name in COLUMNS[table])


def control_totals(table: str, rows: list[Row]) -> dict[str, Decimal]:
    """The control columns' sums over rows, NULL being nothing."""
    return {name: sum((Decimal(row[name] or 0) for row in rows), Decimal(0)) for name in CONTROLS[table]}
