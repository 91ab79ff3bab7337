"""Can this be loaded from? A source's own remarks, its tables against the contracts, and how fast they come."""

from __future__ import annotations

import time
from collections.abc import Iterator

from dataops.declared.arrow_types import arrow_schema
from dataops.declared.catalog import Catalog, Dataset, Group
from dataops.declared.errors import DataopsError
from dataops.facts.text import counted
from dataops.lab.doctor import Finding
from dataops.pipeline.intake import landing
from dataops.pipeline.intake.drift import Drift, compare
from dataops.sources.port import Request, Server, Source

READING = 3.0  # seconds for which rows are read


def probe(source: Source, catalog: Catalog) -> Iterator[Finding]:
    """Findings about a source, the server's first. Nothing is written. Raises what opening a server raises."""
    if isinstance(source, Server):
        for remark in source.remarks():
            yield Finding(remark.level, remark.subject, remark.fact, remark.advice)
    loaded = [group for group in catalog.groups.values() if group.is_loaded]
    tables = [_tables(source, group) for group in loaded]
    yield from tables
    if isinstance(source, Server) and all(finding.level == "ok" for finding in tables):
        yield _speed(source, source, [dataset for group in loaded for dataset in group.datasets])


def _tables(source: Source, group: Group) -> Finding:
    """The group's tables: there, readable, and as agreed."""
    wrong, notes = [], 0
    for dataset in group.datasets:
        try:
            drift = compare(dataset, landing.columns_of(source, dataset))
            wrong += [f"{dataset.contract.platform.source}: {difference}" for difference in drift.blocking]
            notes += len(drift.differences) - len(drift.blocking)
            _first(source, drift)
        except DataopsError as error:
            wrong.append(str(error).splitlines()[0])
    tables = counted(len(group.datasets), "table")
    if wrong:
        return Finding("FAIL", group.name, f"{len(wrong)} problems in {tables}", "\n".join(wrong))
    ignored = f"; {counted(notes, 'difference')} that contracts let pass" if notes else ""
    return Finding("ok", group.name, f"{tables} as agreed, and readable{ignored}")


def _first(source: Source, drift: Drift) -> None:
    """Reads a batch of the table, which fails where the login may not."""
    source_table = str(drift.dataset.contract.platform.source)
    for _ in source.read(Request(source_table, drift.readable)):
        return


def _speed(source: Source, server: Server, datasets: list[Dataset]) -> Finding:
    """Rows per second of the largest table, and how long all of them would take at that."""
    sizes = {d.table: server.estimated_rows(str(d.contract.platform.source)) or 0 for d in datasets}
    largest = max(datasets, key=lambda dataset: sizes[dataset.table])
    began, rows = time.monotonic(), 0
    for batch in source.read(Request(str(largest.contract.platform.source), arrow_schema(largest.columns))):
        rows += batch.num_rows
        if time.monotonic() - began > READING:
            break
    rate = rows / max(time.monotonic() - began, 1e-3)
    total = sum(sizes.values())
    everything = f"; all {total:,} rows in about {max(total / rate, 1):,.0f} s" if rate and total else ""
    return Finding("ok", "speed", f"{rate:,.0f} rows/s of {largest.contract.platform.source}{everything}")
