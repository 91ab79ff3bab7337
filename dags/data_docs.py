"""Brings the stewards' site up to date after every publication of `curated.*`.

**When.** A partition of asset `curated/all` was announced.

**Reads** the ledger and kept gate results. **Writes** `data_docs/`, and to the ledger that it started.

**When it fails.** The site stays as it was; its log says why. `dataops docs` does the same by hand.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import POLICY, after
from dataops.airflow.upkeep import Docs

READS = ["curated"]
with DAG("data_docs", schedule=after(READS), doc_md=__doc__, tags=["upkeep"], **POLICY):
    Docs(task_id="build", reads=READS)
