"""What could not be read is named by its column; what stood there may be a person."""

from pathlib import Path

import pytest

from dataops.declared import catalog as catalogs
from dataops.declared.paths import Paths
from dataops.facts.masking import MASKED
from dataops.facts.quarantine import _masked

pytestmark = pytest.mark.unit
PROJECT = Path(__file__).resolve().parents[2]
NAMES = ["batch", "problems", "last_name"]
TOLD = "Person.csv line 7, email_promotion: 'John; last_name: Smith' is not a whole number of 32 bits"


def test_problems_show_no_value_of_a_dataset_with_personal_data() -> None:
    catalog = catalogs.load(Paths(PROJECT, PROJECT / "var"))
    person = catalog.dataset("person")
    assert "last_name" in person.contract.platform.pii
    batch, problems, last_name = _masked(person, NAMES, ("reference-whole", TOLD, "Smith"))
    assert (batch, last_name) == ("reference-whole", MASKED)
    assert problems == f"last_name: {MASKED}; email_promotion: {MASKED}"
    plain = catalog.dataset("currency_rate")
    assert _masked(plain, ["problems"], (TOLD,)) == (TOLD,)
