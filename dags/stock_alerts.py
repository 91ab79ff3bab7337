"""Stock: what is short, how long the rest lasts, and how good the forecasts behind it are.

**When.** A partition of `curated/all` or `validated/inventory` was announced: after each hourly stock load that changed
something, and after sales.

**Reads** the published layers with the rights of a consumer; raw rows are out of its reach. **Writes** `marts.*` of
group `stock`. A product that gets a row in `marts.inventory_alerts` has become short, one that loses it has recovered;
an hour that changes nothing publishes and announces nothing.

**When it fails.** A red `verdict` means that levels or alerts do not follow from stock and demand, and those of the
last publication stand: its log names the first rule and the command to look further. Any other red task is
infrastructure or a declaration: its log says which, and clearing it is safe at any time.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import POLICY, after, build
from dataops.airflow.upkeep import Start

READS = ["curated", "inventory"]
with DAG("stock_alerts", schedule=after(READS), doc_md=__doc__, tags=["marts"], **POLICY):
    Start(task_id="start", reads=READS) >> build("stock")
