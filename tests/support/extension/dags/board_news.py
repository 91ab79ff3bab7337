"""Tells of the board's new ranking.

**When.** A partition of asset `board/all` or `marts/daily` was announced.

**Reads** the publications that woke it. **Writes** a line to its log.

**When it fails.** Nothing is lost: the next publication starts it again.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import POLICY, after
from dataops.airflow.upkeep import Docs

READS = ["board", "daily"]
with DAG("board_news", schedule=after(READS), doc_md=__doc__, tags=["upkeep"], **POLICY):
    Docs(task_id="tell", reads=READS)
