"""What Airflow's own lineage says of our tasks, and what ours says of Airflow's: one hierarchy, told in two voices.

Datasets and their quality are told from the ledger, once, whatever ran the batch. A task's run carries what it found
of its batch, a failed one as well; the batch carries the DAG run as its root.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataops.ledger.workspace import Workspace

Facets = dict[str, Any]


def is_told() -> bool:
    """Whether Airflow tells lineage of its runs."""
    from airflow.providers.openlineage import conf

    return not conf.is_disabled()


def belongs(work: Workspace, batch_id: str, context: Any) -> None:  # noqa: ANN401  Airflow's context
    """Notes the DAG run that a batch is a part of, as Airflow's lineage names it."""
    with _bystander():
        if is_told():
            _note_root(work, batch_id, context["ti"])


def _note_root(work: Workspace, batch_id: str, ti: Any) -> None:  # noqa: ANN401  Airflow's task instance
    from airflow.providers.openlineage.plugins import macros

    from dataops.ledger import lineage
    from dataops.ledger.schema import writing

    root = lineage.Root(
        namespace=macros.lineage_root_job_namespace(ti),
        job=macros.lineage_root_job_name(ti),
        run=macros.lineage_root_run_id(ti),
    )
    with writing(work.warehouse) as connection:
        lineage.belongs_to(connection, batch_id, root)


def of_batch(work: Workspace, batch_id: str) -> Facets:
    """Run facets: which batch, what the gate said of it, and each rule's result. Empty where nobody is told."""
    found: Facets = {}
    with _bystander():
        if is_told():
            found = _facets(work, batch_id)
    return found


@contextmanager
def _bystander() -> Iterator[None]:
    """Lineage fails no task: what goes wrong here is said in the task's log."""
    try:
        yield
    except Exception as problem:  # noqa: BLE001  whatever it is
        logging.getLogger(__name__).warning("lineage: %s: %s", type(problem).__name__, problem)


def _facets(work: Workspace, batch_id: str) -> Facets:
    from dataops.facts import lineage_runs
    from dataops.ledger import batches
    from dataops.outlets.lineage import telling

    with work.warehouse.reading() as connection:
        batch = batches.find(connection, batch_id)
        said = lineage_runs.said_of(connection, work.catalog, batch) if batch else []
    return telling.writer(work).batch_facets(batch, said) if batch else {}


def operator_lineage(facets: Facets) -> Any:  # noqa: ANN401  what Airflow's provider takes
    """As hooks hand it over."""
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(run_facets=facets)
