"""F17: a rule changed between gate and publish makes the verdict void; judged again, the batch is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.crash import Child, run
from tests.support.oracle import Stages, published, standing, take
from tests.support.shop import own_project

pytestmark = pytest.mark.faults
CHANGES = [
    ("expectations/raw/order_line.yml", '"max_value": 1000', '"max_value": 900'),
    ("contracts/raw/sales_order.yml", "must_be_greater_than: 0", "must_be_greater_than: 1"),
    ("checkpoints/sales.yml", "rows: 50%", "rows: 40%"),
]


@pytest.mark.parametrize(("file", "old", "new"), CHANGES)
def test_a_rule_changed_after_the_verdict_stops_the_publication(
    stages: Stages, file: str, old: str, new: str, tmp_path: Path
) -> None:
    place = stages.before("publish days", project=own_project(tmp_path / "project"))
    go = tmp_path / "go"
    child = Child(take, place, "publish days", failpoint=f"before_begin=wait:{go}")
    child.reach()
    rules = place.project / file
    text = rules.read_text(encoding="utf-8")
    assert old in text
    rules.write_text(text.replace(old, new), encoding="utf-8")
    go.touch()
    found = child.outcome()
    assert found.raised[0] == "VerdictError", found.trace
    assert "the rules of sales changed after sales-20140501-20140503 was judged" in found.text
    assert "dataops gate sales --batch sales-20140501-20140503" in found.text
    assert standing(place) == stages["publish days"].previous
    assert run(take, place, "gate days").done == "PASSED"
    assert run(take, place, "publish days").done == "published"
    validated = {k: v for k, v in published(standing(place)).items() if k.startswith("validated.")}
    assert validated == {k: v for k, v in published(stages["publish days"].next).items() if k.startswith("validated.")}
