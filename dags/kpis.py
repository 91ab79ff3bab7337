"""KPIs: sales, customers, products, stock and gross profit, by day, week and month, from what is published.

**When.** A partition of `curated/all` was announced, that is after every publication of sales or reference data.

**Reads** the published layers with the rights of a consumer; raw rows are out of its reach. **Writes** `marts.*` of
group `kpis`, for the periods whose orders changed; a publication is announced as a partition of asset `marts/kpis`.
Figures of periods that were reported already and changed are noted as restatements, a large one with an incident.

**When it fails.** A red `verdict` means that the figures do not tie to what they are made of, and those of the last
publication stand: its log names the first rule and the command to look further. Any other red task is infrastructure
or a declaration: its log says which, and clearing it is safe at any time.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import POLICY, after, build
from dataops.airflow.reporting import Restate
from dataops.airflow.upkeep import Start

READS = ["curated"]
with DAG("kpis", schedule=after(READS), doc_md=__doc__, tags=["marts"], **POLICY):
    Start(task_id="start", reads=READS) >> build("kpis") >> Restate(task_id="restatements")
