"""Proposals as the YAML that a person would write: to paste, and laid over a copy of the declarations to try them."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from dataops.declared.catalog import Catalog, Dataset
from dataops.declared.errors import DeclarationError
from dataops.lab.project_copy import copy_declarations
from dataops.lab.suggest.proposal import COLUMN_CHECKS, CONTRACT_CHECKS, REFERENCE, Proposal

ALWAYS = {"schema", "row_count"}  # true by agreement, not by what was seen: critical from the start
WIDE = 4000  # a sentence is one line, as in the files that people write
DIGITS = 1000  # ids end in three
Numbered = Mapping[str, Proposal]  # by the id that the rule would have


def numbered(catalog: Catalog, dataset: Dataset, proposals: Sequence[Proposal]) -> dict[str, Proposal]:
    """The proposals with the next free ids of the dataset's letters. Raises DeclarationError when they run out."""
    own = [
        rule.id[:3]
        for rule in dataset.rules
        if re.fullmatch(r"[A-Z]{3}-[0-9]{3}", rule.id) and rule.engine != "platform"
    ]
    own += [link.rule.id[:3] for link in dataset.links]
    letters = Counter(own).most_common(1)[0][0]
    used = {int(r.id[4:7]) for d in catalog.datasets.values() for r in d.rules if r.id.startswith(letters)}
    first = max(used, default=0) + 1
    if first + len(proposals) > DIGITS:
        raise DeclarationError(f"{letters}-{first:03} and {len(proposals)} more do not fit into three digits")
    return {f"{letters}-{first + n:03}": proposal for n, proposal in enumerate(proposals)}


def laid(project: Path, target: Path, dataset: Dataset, proposals: Numbered) -> Path:
    """A copy of the project's declarations with the proposals in the dataset's contract and suite."""
    copy_declarations(project, target)
    contract, suite = target / dataset.contract_file, target / dataset.suite_file
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = WIDE, True
    declared, expected = (yaml.load(file.read_text(encoding="utf-8")) for file in (contract, suite))
    for rule, proposal in proposals.items():
        _add(declared, expected, rule, proposal)
    for file, content in ((contract, declared), (suite, expected)):
        with file.open("w", encoding="utf-8") as stream:
            yaml.dump(content, stream)
    return target


def _add(contract: Any, suite: Any, rule: str, proposal: Proposal) -> None:  # noqa: ANN401  ruamel's own types
    item = written(rule, proposal)
    if proposal.type == REFERENCE:
        contract["x-dataops"].setdefault("references", {}).update(item)
    elif proposal.type in COLUMN_CHECKS:
        column = next(c for c in contract["columns"] if c["name"] == proposal.columns[0])
        column.setdefault("checks", []).append(item)
    elif proposal.type in CONTRACT_CHECKS:
        contract.setdefault("checks", []).append(item)
    else:
        suite.setdefault("expectations", []).append(item)


def written(rule: str, proposal: Proposal) -> dict[str, Any]:
    """The item as it stands in its file."""
    severity = "critical" if proposal.type in ALWAYS else "warning"
    if proposal.type == REFERENCE:
        return {proposal.columns[0]: {**proposal.detail, "rule": rule, "severity": severity, "why": _why(proposal)}}
    if proposal.type in COLUMN_CHECKS | CONTRACT_CHECKS:
        attributes = {"rule": rule, "severity": severity, "why": _why(proposal)}
        return {proposal.type: {**proposal.detail, "name": proposal.says, "attributes": attributes}}
    kwargs = dict(proposal.detail)
    if sql := kwargs.get("unexpected_rows_query"):
        kwargs["unexpected_rows_query"] = LiteralScalarString(sql)
    return {
        "type": proposal.type,
        "kwargs": kwargs,
        "severity": severity,
        "description": proposal.says,
        "notes": _why(proposal),
        "meta": {"rule": rule},
    }


def _why(proposal: Proposal) -> str:
    if not proposal.rows:
        return "Suggested from the data; say here who suffers when it is broken."
    rows = "the one published row" if proposal.rows == 1 else f"all {proposal.rows:,} published rows"
    return f"Suggested from the data, true of {rows} that it speaks about; say here who suffers when it is broken."


def to_paste(dataset: Dataset, proposals: Numbered) -> Iterator[str]:
    """Lines of YAML, a block for each place, headed by a comment that names file and key."""
    places: dict[str, list[Any]] = {}
    for rule, proposal in proposals.items():
        places.setdefault(_place(dataset, proposal), []).append(written(rule, proposal))
    for place, items in places.items():
        yield f"# {place}"
        content = {k: v for item in items for k, v in item.items()} if place.endswith("references:") else items
        yield from _dumped(content).splitlines()
        yield ""


def _place(dataset: Dataset, proposal: Proposal) -> str:
    if proposal.type == REFERENCE:
        return f"{dataset.contract_file}, under x-dataops, references:"
    if proposal.type in COLUMN_CHECKS:
        return f"{dataset.contract_file}, under column {proposal.columns[0]}, checks:"
    if proposal.type in CONTRACT_CHECKS:
        return f"{dataset.contract_file}, under checks:"
    return f"{dataset.suite_file}, under expectations:"


def _dumped(content: object) -> str:
    yaml, stream = YAML(), io.StringIO()
    yaml.width = WIDE
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(content, stream)
    return stream.getvalue()
