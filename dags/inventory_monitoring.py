"""Inventory: stock, movements, work orders and purchase orders.

**When.** Hourly, for the hour that ended; a partition is an hour, `2014-05-01T13`. The window is nevertheless the whole
day of that hour: movements carry a date and no time of day, so an hour's window would be empty 23 times out of 24.
Rows of the day that are known already count as unchanged, and stock itself is read whole and compared.

**Reads** group `inventory`; one long window by `{"window": "2014-05-01..2014-07-01"}` (the end is not included).
**Writes** `validated.*` of the group, then `curated.*` for what follows from it; held rows go to `quarantine.*`. A
publication is announced as a partition of asset `validated/inventory`, then of `curated/all`, from which
`stock_alerts` starts; an hour in which nothing changed publishes and announces nothing.

**When it fails.** A red `verdict` means that the delivery was held and stock stands as of the hour before: its log
names the first rule and the command to look further; the next hour tries again by itself. Any other red task is
infrastructure or a declaration: its log says which, and clearing it is safe at any time.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import ONE_WINDOW, POLICY, build, each, load

with DAG(
    "inventory_monitoring",
    schedule=each("0 * * * *", "%Y-%m-%dT%H"),
    params=ONE_WINDOW,
    doc_md=__doc__,
    tags=["load"],
    **POLICY,
):
    load("inventory", windowed=True) >> build("curated")
