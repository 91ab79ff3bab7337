"""Exchange rates, then everything that is built.

**When.** Daily at 05:00 UTC.

**Reads** group `rates` whole. **Writes** `validated.*` of the group, then what is built.

**When it fails.** A red `verdict` means that the delivery was held; any other red task says why in its log.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import POLICY, build_all, each, load

with DAG("rates_etl", schedule=each("0 5 * * *"), doc_md=__doc__, tags=["load"], **POLICY):
    load("rates", windowed=False) >> build_all()[0]
