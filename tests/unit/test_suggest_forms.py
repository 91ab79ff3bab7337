"""The form of texts is read off their shapes, and what a number, a moment or a set may be proposed as."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.shop import PROJECT

from dataops.declared import catalog as catalogs
from dataops.declared.declarations import Column
from dataops.declared.errors import DeclarationError
from dataops.declared.paths import Paths
from dataops.lab.suggest import columns, writing
from dataops.lab.suggest.profile import ColumnProfile, Profile
from dataops.lab.suggest.proposal import Proposal
from dataops.lab.suggest.texts import _form_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("shapes", "prefix", "regex"),
    [
        (["99-9999-999999"], "10-40", r"^[0-9]{2}\-[0-9]{4}\-[0-9]{6}$"),
        (["AA99999"], "SO", "^SO[0-9]{5}$"),
        (["AA99999", "AA999999"], "SO4", "^SO[0-9]+$"),
        (["9Aa9", "99Aa999"], "", "^[0-9]+[A-Z][a-z][0-9]+$"),
    ],
)
def test_a_form_is_read_off_shapes(shapes: list[str], prefix: str, regex: str) -> None:
    form = _form_of("x", shapes, prefix)
    assert form
    assert form.regex == regex


@pytest.mark.parametrize("shapes", [["Aaaa", "Aaa"], ["AA9", "9"], ["Aaaa aaa 99", "Aaaa 99"]])
def test_words_and_several_forms_are_none(shapes: list[str]) -> None:
    assert _form_of("x", shapes, "") is None


def test_only_texts_of_one_length_have_runs_at_known_places() -> None:
    fixed, variable = _form_of("x", ["AA-9999"], ""), _form_of("x", ["AA-9999", "AA-999"], "")
    assert fixed
    assert variable
    assert fixed.runs == ((1, 2, "A"), (3, 1, "-"), (4, 4, "9"))
    assert variable.runs == ()


def _profile(*found: ColumnProfile, rows: int = 1000) -> Profile:
    catalog = catalogs.load(Paths(PROJECT, PROJECT / "var"))
    return Profile(catalog.dataset("raw.order_line"), rows, {c.name: c for c in found})


def _number(low: object, high: object, name: str = "free") -> ColumnProfile:
    column = Column(name=name, data_type="numeric", numeric_precision=9, numeric_scale=4)
    return ColumnProfile(column, 1000, 500, low, high)


def _claimed(profile: Profile, kind: str) -> list[str]:
    return [c.proposal.says for c in columns.claims(profile) if c.proposal.kind == kind]


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (Decimal(0), Decimal(900), ["free is not negative"]),
        (Decimal("0.2"), Decimal("0.9"), ["free is a share from 0 to 1"]),
        (Decimal(0), Decimal(0), ["free is not negative"]),
        (Decimal(-1), Decimal(900), []),
    ],
)
def test_a_range_is_a_sign_or_a_share(low: Decimal, high: Decimal, says: list[str]) -> None:
    assert _claimed(_profile(_number(low, high)), "range") == says


def test_a_set_is_of_common_values() -> None:
    """One that is seen once in a thousand rows may have others beside it."""
    column = Column(name="state", data_type="varchar")
    common = ColumnProfile(column, 1000, 2, "a", "b", (("a", 600), ("b", 400)))
    rare = ColumnProfile(column, 1000, 2, "a", "b", (("a", 999), ("b", 1)))
    assert _claimed(_profile(common), "set") == ["state is a or b"]
    assert _claimed(_profile(rare), "set") == []


def test_a_moment_is_not_before_the_year_of_the_first() -> None:
    column = Column(name="placed", data_type="timestamp")
    moment = ColumnProfile(column, 1000, 300, datetime(2011, 5, 31), datetime(2014, 6, 30))
    assert _claimed(_profile(moment), "range") == ["placed is not before 2011"]


def test_ids_go_on_behind_the_highest_and_end_with_three_digits() -> None:
    catalog = catalogs.load(Paths(PROJECT, PROJECT / "var"))
    dataset = catalog.dataset("raw.order_line")
    some = [Proposal("set", "order_line", ("note",), "x", "expect_column_values_to_be_in_set")] * 3
    assert list(writing.numbered(catalog, dataset, some)) == ["SAL-035", "SAL-036", "SAL-037"]
    with pytest.raises(DeclarationError, match="SAL-035 and 1000 more"):
        writing.numbered(catalog, dataset, some[:1] * 1000)


def test_text_from_data_is_quoted_in_yaml(tmp_path: Path) -> None:
    """A value that would be YAML or SQL of its own stays a value."""
    value = "it's: {batch} - #1"
    profile = _profile(ColumnProfile(Column(name="note", data_type="varchar"), 1000, 1, value, value, ((value, 1000),)))
    [claim] = [c for c in columns.claims(profile) if c.proposal.kind == "set"]
    assert claim.broken == "b.note NOT IN ('it''s: {batch} - #1')"
    project = writing.laid(PROJECT, tmp_path / "p", profile.dataset, {"SAL-035": claim.proposal})
    rules = catalogs.load(Paths(project, tmp_path)).dataset("raw.order_line").rules
    kept = next(r.expectation for r in rules if r.id == "SAL-035")
    assert kept
    assert kept.kwargs["value_set"] == [value]
