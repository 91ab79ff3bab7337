"""The one sentence that sums up how every group stands; the command line, the site and every message open with it.

Pure: it knows states, not where they come from. It calls fresh only what is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["published", "partly published", "held", "waiting", "late"]
SHAPES: Mapping[State, str] = {
    "published": "●",
    "held": "■",
    "waiting": "◔",
    "late": "▲",
    "partly published": "◪",
}
WORST_FIRST: tuple[State, ...] = ("held", "late", "waiting", "partly published", "published")
NOTHING_YET = "Nothing has been published yet."
ALL_WELL = "Everything is published and fresh."


@dataclass(frozen=True)
class GroupState:
    """A group's state and what the sentence needs to know about it.

    `waits_for` names the groups that must be published first; empty with state `waiting` when only the group's own
    next run is missing. `unjudged`: held because the gate could not judge. `rolled_back`: stands at an earlier state.
    Partly published is a group of which rows wait in quarantine (`rows_wait`) or datasets never were (`missing`).
    """

    group: str
    state: State
    waits_for: tuple[str, ...] = ()
    unjudged: bool = False
    rolled_back: bool = False
    publication: str | None = None
    missing: tuple[str, ...] = ()
    rows_wait: bool = False

    @property
    def well(self) -> bool:
        return self.state == "published" and not self.rolled_back


def worst(states: Sequence[State]) -> State:
    """The state that a whole has: the worst of its parts."""
    return next((state for state in WORST_FIRST if state in states), "waiting")


def sentence(states: Sequence[GroupState]) -> str:
    """One true sentence: what is held, who waits for it, what is fresh. It calls fresh only what is.

    >>> sentence([GroupState("sales", "held"), GroupState("marts_daily", "waiting", ("sales",))])
    'Sales is held; marts_daily waits for it.'
    """
    if all(state.publication is None and state.state == "waiting" and not state.waits_for for state in states):
        return NOTHING_YET
    if all(state.well for state in states):
        return ALL_WELL
    parts = [_held(states), *_late(states), *_own_waiting(states), *_partly(states), *_rolled_back(states)]
    clauses = [clause for clause in parts if clause]
    rest = [state for state in states if state.well]
    if rest:
        clauses.append("The rest is fresh.")
    return " ".join(clauses)


def _held(states: Sequence[GroupState]) -> str:
    """Held groups, and behind them the groups that wait for exactly them or for others."""
    held = [s for s in states if s.state == "held"]
    parts = [_clause([s.group for s in held if not s.unjudged], "is held", "are held")]
    parts += [_clause([s.group for s in held if s.unjudged], "could not be judged", "could not be judged")]
    first = "; ".join(part for part in parts if part)
    waiting = _waiting_by_cause(states)
    names = {s.group for s in held}
    behind = [
        _clause(groups, f"waits for {_cause(cause, names)}", f"wait for {_cause(cause, names)}")
        for cause, groups in waiting.items()
    ]
    return _sentences([first, *behind]) if first or behind else ""


def _waiting_by_cause(states: Sequence[GroupState]) -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = {}
    for state in states:
        if state.state == "waiting" and state.waits_for:
            found.setdefault(state.waits_for, []).append(state.group)
    return found


def _cause(cause: tuple[str, ...], held: set[str]) -> str:
    if set(cause) == held:
        return "it" if len(held) == 1 else "them"
    return joined(cause)


def _late(states: Sequence[GroupState]) -> list[str]:
    late = [s.group for s in states if s.state == "late"]
    return [_sentences([_clause(late, "is late", "are late")])] if late else []


def _own_waiting(states: Sequence[GroupState]) -> list[str]:
    """Groups whose own run is missing: never published, or older than their inputs."""
    own = [s for s in states if s.state == "waiting" and not s.waits_for]
    never = [s.group for s in own if s.publication is None]
    older = [s.group for s in own if s.publication is not None]
    return [
        _sentences([text])
        for text in (
            _clause(never, "has not been published yet", "have not been published yet"),
            _clause(older, "is older than its inputs", "are older than their inputs"),
        )
        if text
    ]


def _partly(states: Sequence[GroupState]) -> list[str]:
    partly = [s for s in states if s.state == "partly published"]
    rows = [s.group for s in partly if s.rows_wait or not s.missing]
    text = _clause(rows, "is published except for rows in quarantine", "are published except for rows in quarantine")
    lacking = [
        f"{s.group} is published, but {joined(s.missing)} never {'was' if len(s.missing) == 1 else 'were'}"
        for s in partly
        if s.missing
    ]
    return [_sentences([clause]) for clause in (text, *lacking) if clause]


def _rolled_back(states: Sequence[GroupState]) -> list[str]:
    back = [s.group for s in states if s.state == "published" and s.rolled_back]
    text = _clause(back, "was rolled back to an earlier publication", "were rolled back to earlier publications")
    return [_sentences([text])] if text else []


def _clause(names: Sequence[str], one: str, many: str) -> str:
    return f"{joined(names)} {one if len(names) == 1 else many}" if names else ""


def _sentences(clauses: Sequence[str]) -> str:
    text = "; ".join(clause for clause in clauses if clause)
    return f"{text[0].upper()}{text[1:]}."


def joined(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
