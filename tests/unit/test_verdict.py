"""Results and predicates as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataops.declared.catalog import Rule
from dataops.gate.verdict import Held, Predicate, Verdict, judged, unjudged

pytestmark = pytest.mark.unit

CRITICAL = Rule("SAL-001", "lines", "gx", "critical", "says", "why", "f.yml", "t")


@given(st.sampled_from(["where", "rows"]), st.text())
def test_a_predicate_survives_the_ledger(kind: str, sql: str) -> None:
    predicate = Predicate(kind, sql)  # type: ignore[arg-type]
    assert Predicate.restored(predicate.stored()) == predicate


def test_no_predicate_stays_none() -> None:
    assert Predicate.restored(None) is None


def test_a_query_of_rows_becomes_a_condition() -> None:
    assert Predicate("rows", "SELECT _row FROM x").condition == "_row IN (SELECT _row FROM x)"
    assert Predicate("where", "a < 0").condition == "a < 0"


def test_an_unjudged_rule_has_an_outcome_of_its_own() -> None:
    assert (unjudged(CRITICAL, "no").outcome, unjudged(CRITICAL, "no").problem) == ("error", "no")
    assert judged(CRITICAL, False).outcome == "failed"
    assert not judged(CRITICAL, True).names_rows


def test_a_verdict_counts_rows_over_its_datasets() -> None:
    verdict = Verdict("PASSED", "b", "sales", (), (), (Held("a", 10, 1, 2), Held("b", 5, 0, 1)))
    assert (verdict.rows_received, verdict.rows_held) == (15, 4)
