"""Sales: orders, their lines and reasons, and currency rates; revenue and gross profit follow from them.

**When.** Daily at 02:00 UTC, for the day before. One partition is one day, `2014-05-01`; a back-fill runs one partition
after the other, or one long window by `{"window": "2014-05-02..2014-07-01"}` (the end is not included).

**Reads** the orders of the window and everything that belongs to them. **Writes** `validated.*` of group `sales`, then
`curated.*` for every model whose inputs are there; held rows go to `quarantine.*`. A publication is announced as a
partition of asset `validated/sales`, then of `curated/all`; a held day announces nothing, so no consumer starts.

**When it fails.** A red `verdict` means that the day was held and figures still stand at the day before: its log names
the first rule and the command to look further; have the source corrected, then clear `extract`. Any other red task
is infrastructure or a declaration: its log says which, and clearing it is safe at any time: nothing is published twice.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import ONE_WINDOW, POLICY, build, each, load

with DAG(
    "sales_etl", schedule=each("0 2 * * *"), params=ONE_WINDOW, doc_md=__doc__, tags=["load", "curated"], **POLICY
):
    load("sales", windowed=True) >> build("curated")
