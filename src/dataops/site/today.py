"""What the front page says: the state of every group, and one true sentence over them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["held", "partly published", "waiting", "published"]
WORST_FIRST: tuple[State, ...] = ("held", "partly published", "waiting", "published")


@dataclass(frozen=True)
class Standing:
    """One group this morning. `batch` is its newest judged batch, `publication` the last one: ledger rows."""

    group: str
    state: State
    owner: str
    batch: Mapping[str, Any] | None
    publication: Mapping[str, Any] | None
    incidents: tuple[Mapping[str, Any], ...]
    outcomes: Mapping[str, int]
    rows_held: int


def state_of(
    batch: Mapping[str, Any] | None, publication: Mapping[str, Any] | None, incidents: Sequence[object],
    quarantined: int, inputs: Iterable[State],
) -> State:
    """The worst of the newest verdict, the open incidents and, for models, the groups they read."""
    if incidents or (batch and batch["state"] in {"failed", "error"}):
        return "held"
    if publication is None or any(state in {"held", "waiting"} for state in inputs):
        return "waiting"
    if batch and batch["state"] == "passed":
        return "waiting"
    return "partly published" if quarantined else "published"


def sentence(states: Mapping[str, State]) -> str:
    """The one sentence on top; every word of it follows from the states alone."""
    by_state = {state: [g for g, s in states.items() if s == state] for state in WORST_FIRST}
    if not states or len(by_state["waiting"]) == len(states):
        return "Nothing has been published yet." if states else "No group is declared."
    if len(by_state["published"]) == len(states):
        return "Everything is published."
    parts = [_clause(by_state[state], words) for state, words in _WORDS.items() if by_state[state]]
    if by_state["published"]:
        parts.append("the rest is published")
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]


_WORDS: dict[State, tuple[str, str]] = {
    "held": ("is held", "are held"),
    "partly published": ("is published without the rows in quarantine", "are published without the rows in quarantine"),
    "waiting": ("waits", "wait"),
}


def _clause(groups: Sequence[str], words: tuple[str, str]) -> str:
    names = groups[0] if len(groups) == 1 else f"{', '.join(groups[:-1])} and {groups[-1]}"
    return f"{names} {words[len(groups) > 1]}"


def worst_first(standings: Iterable[Standing]) -> list[Standing]:
    """Problems on top, otherwise in the order given."""
    return sorted(standings, key=lambda s: WORST_FIRST.index(s.state))
