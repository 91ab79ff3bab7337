"""Looks at what was published and kept back: whether the receipts hold, and what would pass the gate now.

**When.** Daily at 04:00 UTC.

**Reads** the ledger, the published layers and quarantine. **Writes** how many of the waiting rows would pass now, for
`dataops quarantine list`; it publishes nothing.

**When it fails.** A red `receipts` means that the ledger or a published table was changed by hand; the first link that
does not hold: `dataops publications verify`. A red `would_pass` is infrastructure; clearing it is safe at any time.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import POLICY, each
from dataops.airflow.upkeep import Prove, Rehearse

with DAG("data_quality", schedule=each("0 4 * * *"), doc_md=__doc__, tags=["upkeep"], **POLICY):
    Rehearse(task_id="would_pass")
    Prove(task_id="receipts")
