"""What the warehouse knows of a source's rows: those that stand, and those that wait in quarantine."""

from __future__ import annotations

from collections.abc import Sequence

from dataops.declared.catalog import Dataset, Group
from dataops.ledger import entries
from dataops.sources.port import Window
from dataops.warehouse.tables import equal, place, quoted


def is_windowed(dataset: Dataset) -> bool:
    """Whether a window chooses among its rows; others are read whole."""
    return bool(dataset.contract.platform.cursor or dataset.contract.platform.follows)


def rows(group: Group, dataset: Dataset, columns: Sequence[str], loaded: Sequence[Window] | None) -> str:
    """Query of these columns of every known row that was asked for; a row that waits hides the one that stands."""
    waits = entries.waiting(dataset)
    present = " AND ".join(f'w."{name}" IS NOT NULL' for name in dataset.key)
    hidden = f"EXISTS (SELECT 1 FROM ({waits}) AS h WHERE {equal('h', 'c', dataset.key)})"
    return (
        f"SELECT {quoted(columns, 'w')} FROM ({waits}) AS w WHERE {present} UNION ALL SELECT {quoted(columns, 'c')}"
        f" FROM {place(dataset)} AS c WHERE {covered(group, dataset, loaded)} AND NOT {hidden}"
    )


def covered(group: Group, dataset: Dataset, loaded: Sequence[Window] | None) -> str:
    """Condition on a published row `c`: the source was asked for it."""
    platform = dataset.contract.platform
    if loaded is None or not is_windowed(dataset):
        return "TRUE"
    if platform.follows is None:
        return _inside("c", str(platform.cursor), loaded)
    parent = group.dataset(platform.follows)
    columns = next(link.columns for link in dataset.links if link.to == parent.table)
    inside = _inside("f", str(parent.contract.platform.cursor), loaded)
    return f"EXISTS (SELECT 1 FROM {place(parent)} AS f WHERE {equal('f', 'c', parent.key, columns)} AND {inside})"


def _inside(alias: str, cursor: str, loaded: Sequence[Window]) -> str:
    spans = (
        f"({alias}.\"{cursor}\" >= TIMESTAMP '{w.start:%Y-%m-%d %H:%M:%S.%f}'"
        f" AND {alias}.\"{cursor}\" < TIMESTAMP '{w.end:%Y-%m-%d %H:%M:%S.%f}')"
        for w in loaded
    )
    return f"({' OR '.join(spans)})"
