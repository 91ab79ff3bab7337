"""Where a dataset, or one of its columns, comes from and what is made of it; each with how it stands now."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import ClassVar, Literal

from dataops.declared.column_lineage import How
from dataops.declared.errors import DeclarationError
from dataops.facts import report_list, status
from dataops.facts.document import Document, Moment, Part
from dataops.facts.lineage_graph import Graph, Kind, Node
from dataops.facts.sentence import SHAPES, State
from dataops.facts.status import GroupFacts
from dataops.facts.text import age
from dataops.ledger import clock, reports
from dataops.ledger.enums import VerdictName
from dataops.ledger.reports import MadeReport
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace

Direction = Literal["up", "down"]


class NodeFacts(Part):
    """A source's table, a dataset, a report or a receiver, and how it stands."""

    name: str
    kind: Kind
    columns: tuple[str, ...]
    """those that the column that was asked for comes from or goes into; empty where a whole dataset was asked for"""
    owner: str | None
    group: str | None
    state: State | None
    """of its group"""
    verdict: VerdictName | None
    """of its group's last batch"""
    as_of: str | None
    """up to when its figures go, or of which period the newest report is"""
    since: Moment | None
    """when it was last confirmed or made"""
    incidents: tuple[str, ...]
    """open ones of its group"""

    def standing(self, now: datetime) -> list[str]:
        """`● published up to 2026-04-30`, `PASSED 5 min ago`, `INC-0007`; what there is none of is left out."""
        shape = f"{SHAPES[self.state]} {self.state}" if self.state and self.kind is Kind.PUBLISHED else ""
        as_of = f"up to {self.as_of.replace('T', ' ').removesuffix('Z')}" if self.as_of else ""
        what = self.verdict.value if self.verdict else "made" if self.since else ""
        ago = f"{age(now - self.since)} ago" if self.since else ""
        parts = (f"{shape} {as_of}".strip(), f"{what} {ago}".strip(), ", ".join(self.incidents))
        return [part for part in parts if part]


class EdgeFacts(Part):
    """`made` is made from `of`."""

    of: str
    made: str


class ColumnFacts(Part):
    """A column that goes into another."""

    of: str
    column: str
    made: str
    made_column: str
    how: How
    says: str | None


class LineageDocument(Document):
    """A part of the graph around one dataset or column, the nearest first."""

    document: ClassVar[str] = "lineage"
    at: Moment
    """when it was looked at"""
    dataset: str
    column: str | None
    direction: Direction
    nodes: tuple[NodeFacts, ...]
    edges: tuple[EdgeFacts, ...]
    columns: tuple[ColumnFacts, ...]
    """empty where a whole dataset was asked for"""


def shown(work: Workspace, typed: str, direction: Direction) -> LineageDocument:
    """Around DATASET, DATASET.COLUMN, `report NAME` or `report NAME.section.column`. Raises DeclarationError."""
    graph = Graph(work.catalog, report_list.load(work))
    name, column = _meant(graph, typed)
    if column is None:
        links = graph.made_from if direction == "up" else graph.goes_into
        chosen: Mapping[str, Collection[str]] = dict.fromkeys(graph.reached(name, links), ())
        columns: tuple[ColumnFacts, ...] = ()
    else:
        columns = tuple(_columns(graph, name, column, direction))
        chosen = _by_node(name, column, columns)
    edges = tuple(
        EdgeFacts(of=parent, made=made)
        for made in chosen
        for parent in graph.made_from[made]
        if parent in chosen and (column is None or any((c.of, c.made) == (parent, made) for c in columns))
    )
    stand = _Standing(work)
    return LineageDocument(
        at=clock.now(),
        dataset=name,
        column=column,
        direction=direction,
        nodes=tuple(stand.of(graph.nodes[node], tuple(of)) for node, of in chosen.items()),
        edges=edges,
        columns=columns,
    )


def _meant(graph: Graph, typed: str) -> tuple[str, str | None]:
    """The node, and the column where one is named."""
    tables = {name.rpartition(".")[2]: name for name, node in graph.nodes.items() if node.kind is Kind.PUBLISHED}
    for end in range(len(parts := typed.split(".")), 0, -1):
        start = ".".join(parts[:end])
        name = start if start in graph.nodes else tables.get(start)
        if name is None:
            continue
        if end == len(parts):
            return name, None
        column = ".".join(parts[end:])
        known = _column_names(graph, name)
        if column not in known:
            raise DeclarationError(f"{name} has no column {column!r}; there are {', '.join(known) or 'none'}")
        return name, column
    raise DeclarationError(
        f"no dataset, source or report {typed!r}; write e.g. {next(iter(tables.values()), 'marts.table')},"
        ' "report NAME" or "source NAME"; all datasets: dataops check -v'
    )


def _column_names(graph: Graph, name: str) -> list[str]:
    node = graph.nodes[name]
    return list(node.dataset.column_names if node.dataset else graph.columns(name))


def _columns(graph: Graph, name: str, column: str, direction: Direction) -> Iterator[ColumnFacts]:
    """Every pair of columns on the way, the nearest first."""
    is_up = direction == "up"
    links: dict[tuple[str, str], list[ColumnFacts]] = {}
    for pair in _pairs(graph, graph.reached(name, graph.made_from if is_up else graph.goes_into)):
        links.setdefault((pair.made, pair.made_column) if is_up else (pair.of, pair.column), []).append(pair)
    seen, queue = {(name, column)}, [(name, column)]
    while queue:
        for pair in links.get(queue.pop(0), ()):
            yield pair
            beyond = (pair.of, pair.column) if is_up else (pair.made, pair.made_column)
            if beyond not in seen:
                seen.add(beyond)
                queue.append(beyond)


def _pairs(graph: Graph, nodes: Collection[str]) -> Iterator[ColumnFacts]:
    for made in nodes:
        for column, origins in graph.columns(made).items():
            for of in origins:
                yield ColumnFacts(
                    of=of.node, column=of.column, made=made, made_column=column, how=of.how, says=of.says or None
                )


def _by_node(name: str, column: str, pairs: Collection[ColumnFacts]) -> dict[str, list[str]]:
    found = {name: [column]}
    for pair in pairs:
        for node, own in ((pair.made, pair.made_column), (pair.of, pair.column)):
            if own not in found.setdefault(node, []):
                found[node].append(own)
    return found


class _Standing:
    """How nodes stand, read once."""

    def __init__(self, work: Workspace) -> None:
        self._work = work
        stand = status.read(work)
        self._groups = {group.group: group for group in stand.groups}
        self._incidents = stand.incidents
        self._reports = _newest(work)

    def of(self, node: Node, columns: tuple[str, ...]) -> NodeFacts:
        """What is known of a node."""
        judged = node.kind in {Kind.RAW, Kind.PUBLISHED}
        group = self._groups.get(node.dataset.group) if node.dataset and judged else None
        made = self._reports.get(node.label) if node.kind is Kind.REPORT else None
        return NodeFacts(
            name=node.name,
            kind=node.kind,
            columns=columns,
            owner=_owner(node),
            group=group.group if group else None,
            state=group.state if group else None,
            verdict=group.verdict if group else None,
            as_of=made.period if made else _as_of(node, group),
            since=made.made_at if made else group.confirmed_at if group else None,
            incidents=tuple(i.incident for i in self._incidents if group and i.group == group.group),
        )


def _as_of(node: Node, group: GroupFacts | None) -> str | None:
    return group.figures_as_of if group and node.kind is Kind.PUBLISHED else None


def _owner(node: Node) -> str | None:
    if node.report:
        return node.report.owner
    return node.dataset.contract.platform.owner if node.dataset and node.kind is not Kind.SOURCE else None


def _newest(work: Workspace) -> dict[str, MadeReport]:
    """The newest of every report that was made."""
    with work.warehouse.reading() as connection:
        made = reports.of(connection) if is_there(connection) else []
    return {each.report: each for each in sorted(made, key=lambda each: each.made_at)}
