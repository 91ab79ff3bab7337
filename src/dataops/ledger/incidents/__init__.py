"""Problems that people must see: one per root cause, with an owner and a history nobody can rewrite.

Opened by a held or unjudged batch, an anomaly, drift or late data; solved by the next clean publication or by a person.
Every step is written with its event, in the caller's transaction. Knows the ledger, not why a batch was held.
"""

from dataops.ledger.incidents.detail import BrokenRule, Detail, Difference, First, Money, Trait, Unusual
from dataops.ledger.incidents.occurrences import is_settled, open_for, remark, resolve, resolve_drift, solve, standing
from dataops.ledger.incidents.records import (
    Event,
    Incident,
    before,
    history,
    how_it_ended,
    ids,
    is_known,
    last_steps,
    newest,
    of_batch,
    open_incidents,
    required,
)
from dataops.ledger.incidents.steps import acknowledge, assign, close, comment, reopen, waive

__all__ = [
    "BrokenRule",
    "Detail",
    "Difference",
    "Event",
    "First",
    "Incident",
    "Money",
    "Trait",
    "Unusual",
    "acknowledge",
    "assign",
    "before",
    "close",
    "comment",
    "history",
    "how_it_ended",
    "ids",
    "is_known",
    "is_settled",
    "last_steps",
    "newest",
    "of_batch",
    "open_for",
    "open_incidents",
    "remark",
    "reopen",
    "required",
    "resolve",
    "resolve_drift",
    "solve",
    "standing",
    "waive",
]
