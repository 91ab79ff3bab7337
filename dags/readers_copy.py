"""Brings `published.duckdb`, what notebooks and BI tools open, up to date after every publication.

**When.** A partition of any group was announced.

**Reads** the published layers. **Writes** the copy, replaced by rename, and to the ledger that it started.

**When it fails.** The copy stays as it was, and `dataops status` says how far it lags; the next publication, or
`dataops warehouse refresh`, brings it up. On PostgreSQL there is no copy: consumers read the same database.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import POLICY, after
from dataops.airflow.upkeep import ReadersCopy

READS = ["*"]
with DAG("readers_copy", schedule=after(READS), doc_md=__doc__, tags=["upkeep"], **POLICY):
    ReadersCopy(task_id="renew", reads=READS)
