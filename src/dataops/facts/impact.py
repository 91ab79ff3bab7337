"""What stands on a dataset: models, figures, reports and the people who get them, from what the declarations say."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from dataops.declared.errors import DeclarationError
from dataops.facts import report_list
from dataops.facts.document import Document
from dataops.facts.lineage_graph import Graph, Kind
from dataops.ledger import batches
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace


class ImpactDocument(Document):
    """What waits for, or stands on, some datasets."""

    document: ClassVar[str] = "impact"
    of: tuple[str, ...]
    """the datasets that were asked about"""
    datasets: tuple[str, ...]
    """made of them, directly or not, in the order in which they are built"""
    groups: tuple[str, ...]
    """those datasets' groups"""
    metrics: tuple[str, ...]
    """figures that are computed from them"""
    reports: tuple[str, ...]
    receivers: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """`3 groups, 25 figures, 2 reports for 4 receivers`; what there is none of is left out."""
        parts = [
            f"{len(names)} {noun}{'' if len(names) == 1 else 's'}"
            for noun, names in (("group", self.groups), ("figure", self.metrics), ("report", self.reports))
            if names
        ]
        told = ", ".join(parts) or "nothing"
        return f"{told} for {len(self.receivers)} receivers" if self.receivers else told


def of_tables(work: Workspace, tables: Collection[str]) -> ImpactDocument:
    """What stands on these datasets. Raises DeclarationError for a report whose query is refused."""
    catalog = work.catalog
    graph = Graph(catalog, report_list.load(work))
    named = [catalog.datasets[table].published_name for table in tables]
    reached = {name for start in named for name in graph.reached(start, graph.goes_into)}
    made = [model for model in catalog.models if model.name in reached and model.table not in tables]
    nodes = [node for node in graph.nodes.values() if node.name in reached]
    shown = {metric for node in nodes if node.dataset for metric in node.dataset.metrics}
    return ImpactDocument(
        of=tuple(sorted(named)),
        datasets=tuple(model.name for model in made),
        groups=tuple(dict.fromkeys(catalog.datasets[model.table].group for model in made)),
        metrics=tuple(name for name in catalog.metrics if name in shown),
        reports=tuple(node.label for node in nodes if node.kind is Kind.REPORT),
        receivers=tuple(sorted(node.label for node in nodes if node.kind is Kind.RECEIVER)),
    )


def of_group(work: Workspace, group: str) -> ImpactDocument:
    """What stands on a group."""
    return of_tables(work, work.catalog.group(group).tables)


def of_name(work: Workspace, name: str) -> ImpactDocument:
    """Of a dataset, a group or a batch. Raises DeclarationError naming what there is."""
    catalog = work.catalog
    table = name.rpartition(".")[2]
    if table in catalog.datasets:
        return of_tables(work, [table])
    if name in catalog.groups:
        return of_group(work, name)
    with work.warehouse.reading() as connection:
        batch = batches.find(connection, name) if is_there(connection) else None
        if batch is None:
            raise DeclarationError(f"no dataset, group or batch {name!r}; see: dataops check -v, dataops batches list")
        brought = set(batches.datasets(connection, batch.seq))
    return of_tables(work, brought or catalog.group(batch.group).tables)
