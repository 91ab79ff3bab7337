"""Who a person is must be asked for: what of a row, a sample or an engine's words may be shown. Decided here only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dataops.declared.catalog import Catalog, Dataset, Rule
from dataops.ledger.results import CheckResult

MASKED = "•••"
COUNTED = re.compile(r"[-+0-9.,%]*|None")  # an observed value that can only be a count or a share


def values(dataset: Dataset, row: Mapping[str, object], *, clear: bool) -> dict[str, object]:
    """Columns of a row, personal ones masked."""
    hidden = set() if clear else set(dataset.contract.platform.pii)
    return {name: MASKED if name in hidden and value is not None else value for name, value in row.items()}


def unread(dataset: Dataset, problems: str | None) -> str | None:
    """Which columns could not be read, without what stood there: in a shifted row any column may hold a name."""
    if problems is None or not dataset.contract.platform.pii:
        return problems
    named = [column for column in dataset.column_names if re.search(rf"(?<!\w){column}: ", problems)]
    return "; ".join(f"{column}: {MASKED}" for column in named) or MASKED


def is_private(dataset: Dataset | None, rule: Rule | None) -> bool:
    """Whether what an engine says about the rule may repeat personal data. What is unknown counts as personal."""
    if dataset is None or rule is None:
        return True
    if rule.type in {"schema", "row_count"}:
        return False
    pii, named = set(dataset.contract.platform.pii), set(rule.columns)
    # A rule in SQL names no columns; it may say anything about the table.
    return bool(pii & named) or (bool(pii) and not named)


def declared(catalog: Catalog, result: CheckResult) -> tuple[Dataset | None, Rule | None]:
    """Dataset and rule of a result, as far as they are declared still."""
    dataset = catalog.datasets.get(result.table)
    return dataset, next((r for r in dataset.rules if r.id == result.rule_id), None) if dataset else None


def observed(catalog: Catalog, result: CheckResult) -> str | None:
    """What was observed; where it may be personal, only a count or a share."""
    is_count = COUNTED.fullmatch(result.observed or "") is not None
    return MASKED if is_private(*declared(catalog, result)) and not is_count else result.observed


def problem(catalog: Catalog, result: CheckResult) -> str | None:
    """Why a rule could not be judged; masked where an engine may repeat personal data."""
    return MASKED if result.problem and is_private(*declared(catalog, result)) else result.problem


def sample(dataset: Dataset | None, rows: Sequence[Mapping[str, str]]) -> tuple[dict[str, str], ...]:
    """Key columns only, and not even those where the key is personal."""
    allowed = set(dataset.key) - set(dataset.contract.platform.pii) if dataset else set()
    return tuple({name: str(v) if name in allowed else MASKED for name, v in row.items()} for row in rows)


def reason(catalog: Catalog, text: str | None, results: Sequence[CheckResult]) -> str | None:
    """A verdict's reasons; what a rule over personal data observed or complained of is masked in them as well."""
    for result in results if text else ():
        pairs = ((result.observed, observed(catalog, result)), (result.problem, problem(catalog, result)))
        for raw, safe in pairs:
            if raw and safe == MASKED and text:
                text = text.replace(raw, MASKED)
    return text
