"""Looks for what should have happened and did not: a delivery that is late, a consumer that never started.

**When.** Every ten minutes.

**Reads** the ledger. **Writes** incidents of kind `late`, and closes them when the delivery came or the consumer
started; of kind `platform` for messages that nobody sends and a disk that is nearly full. A publication that a consumer
has not started from within ten minutes is announced once more; that is how a run that was killed between its COMMIT and
its announcement, or an announcement that Airflow lost, is made good.

**When it fails.** Nothing is lost: the next run looks again. Its log says why the ledger could not be read.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import ASSETS, PATIENCE, POLICY, each
from dataops.airflow.upkeep import Watch

EVERY = each("*/10 * * * *", "%Y-%m-%dT%H:%M")
with DAG("watchdog", schedule=EVERY, params=PATIENCE, doc_md=__doc__, tags=["upkeep"], **POLICY):
    Watch(task_id="watch", assets=ASSETS)
