"""Copies the whole warehouse to `var/backups`, proves the copy, and keeps the newest seven.

**When.** Daily at 03:30 UTC, after the nightly loads.

**Reads** everything in the warehouse. **Writes** one file; the oldest one above the number kept is removed.

**When it fails.** Nothing of the warehouse was changed, and earlier backups still stand. The log says whether there was
no room or a copy could not be proven; clearing the task is safe at any time. By hand: `dataops warehouse backup`.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import KEPT, POLICY, each
from dataops.airflow.upkeep import BackUp

with DAG("warehouse_backup", schedule=each("30 3 * * *"), params=KEPT, doc_md=__doc__, tags=["upkeep"], **POLICY):
    BackUp(task_id="back_up")
