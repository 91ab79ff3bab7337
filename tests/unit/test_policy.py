"""The policy: what makes a verdict ERROR or FAILED, and the sentence that says so."""

from __future__ import annotations

from typing import Any

import pytest

from dataops.declared.catalog import Group, Rule
from dataops.declared.declarations import CheckpointFile
from dataops.gate import policy
from dataops.gate.verdict import Held, Predicate, RuleResult, judged, unjudged
from dataops.ledger.incidents import Money

pytestmark = pytest.mark.unit

ROWS = Predicate("where", "qty < 0")


def rule(number: int = 1, severity: str = "critical") -> Rule:
    return Rule(f"SAL-{number:03d}", "lines", "gx", severity, "quantity is positive", "why", "f.yml", "t")  # type: ignore[arg-type]


def group(**quota: Any) -> Group:
    checkpoint = CheckpointFile.model_validate(
        {"group": "sales", "layer": "raw", "kind": "loaded", "owner": "o", "quota": {"rows": "1%"} | quota}
    )
    return Group("sales", checkpoint, ())


def decided(*results: RuleResult, held: int = 0, received: int = 100, fell: int = 0) -> Any:
    return policy.decide(group(), "b", results, [Held("lines", received, held, fell)], None)


def paid(held: str, received: str) -> Any:
    """The verdict on a batch of which so much money is held; the quota is 5 %."""
    money = Money(column="sub_total", received=received, held=held)
    return policy.decide(group(money="5%"), "b", [], [Held("lines", 100, 1, 0)], money)


def test_all_rules_kept_is_passed() -> None:
    verdict = decided(judged(rule(), True))
    assert (verdict.name, verdict.reasons, verdict.passed) == ("PASSED", (), True)


def test_what_could_not_be_judged_is_an_error_even_beside_a_failure() -> None:
    verdict = decided(unjudged(rule(1), "no answer"), judged(rule(2), False, observed="3"))
    assert (verdict.name, verdict.reasons) == ("ERROR", ("SAL-001 could not be judged: no answer",))


def test_a_warning_that_could_not_be_judged_is_an_error_too() -> None:
    assert decided(unjudged(rule(1, "warning"), "no answer")).name == "ERROR"


def test_a_critical_rule_that_names_no_rows_blocks_the_batch() -> None:
    verdict = decided(judged(rule(), False, observed="0"))
    assert (verdict.name, verdict.reasons) == ("FAILED", ("SAL-001 (lines): quantity is positive; observed 0",))


@pytest.mark.parametrize("severity", ["warning", "info"])
def test_a_broken_rule_of_lower_severity_is_told_and_passes(severity: str) -> None:
    verdict = decided(judged(rule(1, severity), False, failing=60, predicate=ROWS))
    assert (verdict.name, verdict.count("warned")) == ("PASSED", 1)


def test_rows_within_the_quota_are_held_and_the_rest_passes() -> None:
    assert decided(judged(rule(), False, failing=1, predicate=ROWS), held=1).name == "PASSED"


def test_rows_beyond_the_quota_block_the_batch() -> None:
    verdict = decided(judged(rule(), False, failing=2, predicate=ROWS), held=2)
    assert (verdict.name, verdict.reasons) == ("FAILED", ("2 of 100 rows broke a rule = 2.0%; quota 1.0%",))


def test_rows_that_fell_with_others_do_not_count_for_the_quota() -> None:
    assert decided(held=1, fell=80).name == "PASSED"


def test_money_beyond_the_quota_blocks_the_batch() -> None:
    verdict = paid("5.01", "100.00")
    assert (verdict.name, verdict.reasons) == ("FAILED", ("sub_total 5.01 of 100.00 is held = 5.0%; quota 5.0%",))
    assert [paid(*amounts).name for amounts in (("5.00", "100.00"), ("0", "0"))] == ["PASSED", "PASSED"]


def test_an_empty_batch_is_no_matter_of_quotas() -> None:
    assert decided(received=0).name == "PASSED"
