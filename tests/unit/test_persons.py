"""Nobody agrees with himself by another spelling; and two people are two."""

# ruff: noqa: RUF001  letters that look alike are what this is about

import pytest

from dataops.declared.errors import DeclarationError
from dataops.declared.persons import named, same

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "spelling",
    [
        "Anna.Müller", "ANNA.MÜLLER", " anna.müller ", "anna. müller", "anna.mu\u0308ller", "anna.m\u00fcller",
        "аnna.müller", "annа.müller", "an\u200bna.müller", "anna\u00ad.müller", "ａｎｎａ.müller", "anna.müI1er",
        "anna.müⅼler", "\u202eanna.müller", "anna․müller",
    ],
)  # fmt: skip
def test_a_name_spelt_otherwise_is_the_same_person(spelling: str) -> None:
    assert same("anna.müller", spelling)
    assert same(spelling, "anna.müller")


@pytest.mark.parametrize(("one", "other"), [("anna", "ben"), ("anna", "hanna"), ("maria", "mario"), ("tom", "rom")])
def test_two_people_are_two(one: str, other: str) -> None:
    assert not same(one, other)


def test_letters_that_look_alike_in_other_scripts_are_one() -> None:
    assert same("Иван", "ивaн")
    assert same("сосо", "coco")


@pytest.mark.parametrize("blank", ["", " ", "\t", "\u200b", " \u00a0 ", "\u3000", "\u0301"])
def test_a_blank_names_nobody(blank: str) -> None:
    with pytest.raises(DeclarationError, match="names nobody"):
        named(blank)


def test_a_name_is_recorded_composed_and_without_blanks_around_it() -> None:
    assert named("  Ann   e\u0301 ") == "Ann é"
