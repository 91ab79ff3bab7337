"""Who bought most: Arrow in, Arrow out."""

import threading
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc


def by_amount(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """Customers (customer_id int32) by what they paid (amount decimal, descending) with their place, from 1.

    inputs: curated.fct_line with customer_id and amount; marts.daily_amount, whose days must not be empty.
    """
    assert inputs["marts.daily_amount"].num_rows
    paid = inputs["curated.fct_line"].group_by("customer_id").aggregate([("amount", "sum")])
    ordered = paid.sort_by([("amount_sum", "descending"), ("customer_id", "ascending")])
    return pa.table(
        {
            "customer_id": ordered["customer_id"],
            "place": pa.array(range(1, ordered.num_rows + 1), pa.int64()),
            "amount": pc.round(ordered["amount_sum"], 4),
        }
    )


def greedy(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """Reads what it does not declare."""
    return inputs["validated.customer"]


def wrong_columns(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """Returns something else than its contract lists."""
    return by_amount(inputs).rename_columns(["customer_id", "rank", "amount"])


def unexplained(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """Reads a column that goes into nothing, says its lineage."""
    assert inputs["curated.fct_line"]["region"]
    return by_amount(inputs)


def wrong_type(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """A place that is no number."""
    made = by_amount(inputs)
    return made.set_column(1, "place", pa.array(["first"] * made.num_rows))


def broken(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """Raises."""
    raise ValueError(f"cannot rank {len(inputs)} tables")


def endless(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """Never ends; it waits, since what is abandoned runs on in the tests' process and would slow all that follow."""
    threading.Event().wait()
    return pa.table(dict(inputs))
