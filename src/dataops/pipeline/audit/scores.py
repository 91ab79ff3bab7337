"""How datasets score: of what was checked in the last 30 days, how much held, in five dimensions without weights.

Completeness: required values. Uniqueness: keys. Consistency: references, and rules that look at other tables.
Validity: every other rule about a row. Each counts rows times rules. Timeliness counts hours without lateness.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Catalog, Dataset, Rule
from dataops.ledger import audits
from dataops.ledger.audits import Score
from dataops.ledger.enums import Dimension
from dataops.pipeline.audit import punctuality
from dataops.pipeline.audit.punctuality import Span

SHAPE = ("schema", "row_count", "freshness")  # of the whole, not of rows


def of_all(connection: Connection, catalog: Catalog, span: Span) -> list[Score]:
    """Every dataset that was judged in the span, in the dimensions in which something was checked."""
    checked = audits.checked_since(connection, span.start)
    late = {name: punctuality.hours(connection, group, span) for name, group in catalog.groups.items()}
    return [
        score for dataset in catalog.datasets.values() for score in _scores(dataset, checked, late.get(dataset.group))
    ]


def dimension_of(dataset: Dataset, rule: Rule) -> Dimension | None:
    """What a rule is about; None for rules about the whole of a delivery."""
    if rule.type == "missing":
        return Dimension.COMPLETENESS
    if rule.type == "duplicate":
        return Dimension.UNIQUENESS
    if rule.type in SHAPE:
        return None
    linked = {link.rule.id for link in dataset.links}
    return Dimension.CONSISTENCY if rule.id in linked or rule.tables else Dimension.VALIDITY


def _scores(
    dataset: Dataset, checked: Mapping[tuple[str, str], tuple[int, int]], hours: tuple[float, float] | None
) -> list[Score]:
    failing: Counter[Dimension] = Counter()
    rows: Counter[Dimension] = Counter()
    for rule in dataset.rules:
        dimension, counts = dimension_of(dataset, rule), checked.get((dataset.table, rule.id))
        if dimension and counts:
            failing[dimension] += counts[0]
            rows[dimension] += counts[1]
    found = [
        Score(table=dataset.name, dimension=d, held=rows[d] - failing[d], checked=rows[d]) for d in Dimension if rows[d]
    ]
    if hours and hours[1] >= 1:
        whole = round(hours[1])
        on_time = round(hours[1] - hours[0])
        found.append(Score(table=dataset.name, dimension=Dimension.TIMELINESS, held=on_time, checked=whole))
    return found
