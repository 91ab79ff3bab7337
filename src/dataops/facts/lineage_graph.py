"""What is made from what, from a source's table to whoever gets a report: read off the declarations, no warehouse.

A node's name says what it is: `source Sales.Orders`, `raw.orders`, `validated.orders`, `marts.daily`, `report daily`,
`receiver ceo@example.org`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property

from dataops.declared import column_lineage, layers
from dataops.declared.catalog import Catalog, Dataset
from dataops.declared.column_lineage import How, Origin, Origins
from dataops.declared.reports import Period, ReportFile
from dataops.pipeline import query

ANY_DAY = "2000-01-03"


class Kind(StrEnum):
    """What a node is."""

    SOURCE = "source"
    RAW = layers.RAW
    PUBLISHED = "published"
    REPORT = "report"
    RECEIVER = "receiver"


@dataclass(frozen=True)
class Node:
    """One thing that rows are in, or that figures reach. `dataset`: of a source, what is loaded from it."""

    name: str
    kind: Kind
    dataset: Dataset | None = None
    report: ReportFile | None = None

    @property
    def label(self) -> str:
        """Its own name, without the word for what it is."""
        return self.name.removeprefix(f"{self.kind} ")


class Graph:
    """Nodes in an order in which each comes after those it is made from."""

    def __init__(self, catalog: Catalog, reports: Mapping[str, ReportFile]) -> None:
        self._catalog = catalog
        self.nodes: dict[str, Node] = {}
        self.made_from: dict[str, tuple[str, ...]] = {}
        self.columns: Callable[[str], Origins] = cache(self._columns)
        for dataset in catalog.datasets.values():
            if dataset.is_loaded:
                self._add_loaded(dataset)
        for model in catalog.models:
            parents = (f"{layer}.{table}" for layer, table in model.inputs)
            self._add(Node(model.name, Kind.PUBLISHED, catalog.datasets[model.table]), parents)
        for name, report in reports.items():
            self._add(Node(f"{Kind.REPORT} {name}", Kind.REPORT, report=report), _asked(catalog, report))
        receivers = dict.fromkeys(receiver.to for report in reports.values() for receiver in report.receivers)
        for to in receivers:
            own = (name for name, report in reports.items() if to in {receiver.to for receiver in report.receivers})
            self._add(Node(f"{Kind.RECEIVER} {to}", Kind.RECEIVER), (f"{Kind.REPORT} {name}" for name in own))

    def _add_loaded(self, dataset: Dataset) -> None:
        source = f"{Kind.SOURCE} {dataset.contract.platform.source or dataset.table}"
        self._add(Node(source, Kind.SOURCE, dataset), ())
        self._add(Node(dataset.name, Kind.RAW, dataset), (source,))
        self._add(Node(dataset.published_name, Kind.PUBLISHED, dataset), (dataset.name,))

    def _add(self, node: Node, parents: Iterable[str]) -> None:
        self.nodes[node.name] = node
        self.made_from[node.name] = tuple(dict.fromkeys(parents))

    @cached_property
    def goes_into(self) -> dict[str, tuple[str, ...]]:
        """The other direction."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for name, parents in self.made_from.items():
            for parent in parents:
                found[parent].append(name)
        return {name: tuple(children) for name, children in found.items()}

    def reached(self, start: str, links: Mapping[str, Collection[str]]) -> list[str]:
        """The node and all that it is linked to, directly or not, nearest first."""
        found = dict.fromkeys([start])
        queue = [start]
        while queue:
            for name in links[queue.pop(0)]:
                if name not in found:
                    found[name] = None
                    queue.append(name)
        return list(found)

    def _columns(self, name: str) -> Origins:
        """Where each column of a node comes from; a source's and a receiver's come from nowhere."""
        node = self.nodes[name]
        if node.kind is Kind.RAW and node.dataset:
            return _loaded(node.dataset, self.made_from[name][0])
        if node.kind is Kind.PUBLISHED and node.dataset:
            return self._published(node.dataset)
        return self._reported(node.report) if node.report else {}

    def _published(self, dataset: Dataset) -> Origins:
        if dataset.is_loaded:
            return {column: (Origin(dataset.name, column),) for column in dataset.column_names}
        model = next(model for model in self._catalog.models if model.table == dataset.table)
        return column_lineage.of_model(model, self._catalog.columns)

    def _reported(self, report: ReportFile) -> Origins:
        """`section.column` of each table of a report; its figures stand in `figures`."""
        found: Origins = {}
        for part, sql in _tables(report):
            tree, _ = query.parsed(Period.of(report.period, ANY_DAY).put_into(sql), self._catalog)
            for column, origins in column_lineage.of_query(tree, self._catalog.columns).items():
                found[f"{part}.{column}"] = origins
        return found


def _tables(report: ReportFile) -> list[tuple[str, str]]:
    return [("figures", report.figures), *((section.section, section.query) for section in report.sections)]


def _asked(catalog: Catalog, report: ReportFile) -> list[str]:
    """Published names of the datasets that a report reads. Raises DeclarationError for a query that is refused."""
    span = Period.of(report.period, ANY_DAY)
    used = (query.parsed(span.put_into(text), catalog)[1] for text in report.queries)
    return sorted({dataset.published_name for datasets in used for dataset in datasets.values()})


def _loaded(dataset: Dataset, source: str) -> Origins:
    """As the source has them, and what it computes from what it computes it."""
    computed = dataset.contract.platform.computed
    return {
        column: (
            Origin(source, column),
            *(
                Origin(source, given, How.TRANSFORMATION, "computed by the source")
                for given in computed.get(column, ())
            ),
        )
        for column in dataset.column_names
    }
