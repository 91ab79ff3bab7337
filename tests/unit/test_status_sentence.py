"""The generated sentence is true for every combination of states of up to four groups."""

from itertools import combinations_with_replacement, permutations, product

import pytest

from dataops.facts.sentence import ALL_WELL, NOTHING_YET, SHAPES, WORST_FIRST, GroupState, sentence, worst

pytestmark = pytest.mark.unit

NAMES = ("sales", "reference", "inventory", "curated")


def variants(name: str, others: tuple[str, ...]) -> list[GroupState]:
    """Every way in which one group can stand."""
    one = f"{name}-0001"
    return [
        GroupState(name, "published", publication=one),
        GroupState(name, "published", publication=one, rolled_back=True),
        GroupState(name, "partly published", publication=one),
        GroupState(name, "held", publication=one),
        GroupState(name, "held", publication=one, unjudged=True),
        GroupState(name, "late", publication=one),
        GroupState(name, "waiting"),
        GroupState(name, "waiting", publication=one),
        *(GroupState(name, "waiting", (other,), publication=one) for other in others[:1]),
    ]


COMBINATIONS = [
    states
    for size in range(1, 5)
    for states in product(*(variants(name, tuple(n for n in NAMES[:size] if n != name)) for name in NAMES[:size]))
]


def test_it_calls_fresh_only_what_is() -> None:
    """Neither everything nor the rest is called fresh unless it is, and a fresh group is never named as a problem."""
    for states in COMBINATIONS:
        said = sentence(states)
        unwell = [state for state in states if not state.well]
        assert (said == ALL_WELL) == (not unwell)
        assert ("The rest is fresh." in said) == (0 < len(unwell) < len(states)), said
        assert "Everything" not in said or not unwell


def test_every_group_that_is_not_well_is_named() -> None:
    """Nobody has to guess which group is meant; before anything is published one sentence says all."""
    for states in COMBINATIONS:
        said = sentence(states)
        if said == NOTHING_YET:
            assert all(state.publication is None for state in states)
            continue
        for state in states:
            named = state.group in said.lower()
            assert named or state.well, (said, state)


def test_it_reads_as_sentences() -> None:
    """It begins with a capital, ends with a full stop, and has no doubled blanks or empty clauses."""
    for states in COMBINATIONS:
        said = sentence(states)
        assert said[0].isupper()
        assert said.endswith(".")
        assert not {"  ", "..", "; ;", " .", ";."} & {said[n : n + 2] for n in range(len(said))}, said


SALES_HELD = GroupState("sales", "held", publication="sales-0001")
CURATED_WAITS = GroupState("curated", "waiting", ("sales",), publication="curated-0001")
MARTS_WAIT = GroupState("marts", "waiting", ("sales",), publication="marts-0001")
REFERENCE_WELL = GroupState("reference", "published", publication="reference-0001")


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (
            [SALES_HELD, CURATED_WAITS, MARTS_WAIT, REFERENCE_WELL],
            "Sales is held; curated and marts wait for it. The rest is fresh.",
        ),
        ([GroupState("sales", "held", unjudged=True)], "Sales could not be judged."),
        ([REFERENCE_WELL, GroupState("sales", "waiting")], "Sales has not been published yet. The rest is fresh."),
        ([GroupState("curated", "waiting", publication="c")], "Curated is older than its inputs."),
        (
            [GroupState("sales", "partly published", publication="s"), REFERENCE_WELL],
            "Sales is published except for rows in quarantine. The rest is fresh.",
        ),
        ([SALES_HELD, GroupState("inventory", "held", publication="i")], "Sales and inventory are held."),
    ],
)
def test_the_words_of_common_mornings(states: list[GroupState], said: str) -> None:
    """What people read most often."""
    assert sentence(states) == said


def test_a_whole_is_as_bad_as_its_worst_part() -> None:
    """Dagster's rule; the order of the parts does not matter, and each state has a shape of its own."""
    for pair in combinations_with_replacement(WORST_FIRST, 2):
        assert {worst(order) for order in permutations(pair)} == {min(pair, key=WORST_FIRST.index)}
    assert len(set(SHAPES.values())) == len(WORST_FIRST)
