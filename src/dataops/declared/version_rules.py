"""The rule that a contract's `version` means: no row may be older than the one that stands of it.

Older deliveries are whole and right by every other rule; only what is published shows that they come too late.
"""

from __future__ import annotations

from dataops.declared.declarations import ContractFile, ExpectationItem, Meta, SuiteFile

RULE = "VER-001"
WHY = "What was corrected since would be undone by a delivery of yesterday, and nothing in its rows would show it."


def with_rule(suite: SuiteFile, contract: ContractFile, table: str) -> SuiteFile:
    """The suite, with the rule where the contract says which column tells versions of a row apart."""
    platform = contract.platform
    if platform.version is None or platform.backwards == "allow":
        return suite
    same = " AND ".join(f"p.{name} = b.{name}" for name in platform.key)
    new, old = f"b.{platform.version}", f"p.{platform.version}"
    rule = ExpectationItem(
        type="unexpected_rows_expectation",
        kwargs={
            "unexpected_rows_query": (
                f"SELECT b._row FROM {{batch}} b JOIN {{published}} p ON {same}"
                f" WHERE {new} < {old} OR ({new} IS NULL AND {old} IS NOT NULL)"
            )
        },
        severity="critical" if platform.backwards == "hold" else "warning",
        description=f"no row goes back: {platform.version} is not before that of the row that stands",
        notes=WHY,
        meta=Meta(rule=f"{RULE}:{table}"),
    )
    return suite.model_copy(update={"expectations": (*suite.expectations, rule)})
