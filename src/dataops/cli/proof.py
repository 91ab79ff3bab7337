"""What a verification of the ledger found, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataops.facts.text import counted, labelled
from dataops.ledger.receipts import SHORTEST

if TYPE_CHECKING:
    from dataops.ledger.chain import Proof

SHOWN = 10


def lines(found: Proof) -> list[str]:
    """The answer first, then what it rests on."""
    return [*_answer(found), *_figures(found), *_limits(found)]


def _answer(found: Proof) -> list[str]:
    if (broken := found.broken) is not None:
        unproven = f"{counted(found.unproven, 'publication')} from it on unproven" if found.unproven else ""
        held = f"{counted(found.receipts, 'receipt')} before it verified"
        said = [broken.says, f"expected {broken.expected or 'none'}", f"found    {broken.found or 'none'}"]
        return [
            f"NOT PROVEN  {broken.publication}",
            *(text for part in said for text in labelled("", part, 2)),
            *labelled("", f"{held}; {unproven}" if unproven else held, 2),
        ]
    if found.mismatches:
        return [f"NOT PROVEN  {counted(found.receipts, 'receipt')} verified, but the rows say something else"]
    if not found.receipts:
        return ["PROVEN  no publication has a receipt yet"]
    return [f"PROVEN  ledger chain verified ({counted(found.receipts, 'receipt')}), figures tie to the rows"]


def _figures(found: Proof) -> list[str]:
    shown = [
        text for m in found.mismatches[:SHOWN] for text in labelled(f"  {m.publication}", f"{m.dataset}: {m.says}", 18)
    ]
    more = len(found.mismatches) - SHOWN
    return [*shown, f"  and {more} more: --json"] if more > 0 else shown


def _limits(found: Proof) -> list[str]:
    """What this does not say."""
    earlier = counted(found.earlier, "older publication has", "older publications have")
    return [
        *([f"head    {found.head}"] if found.head and not found.broken else []),
        *([f"{earlier} no receipt: made by a release without them"] if found.earlier else []),
    ]


def hints(found: Proof) -> list[str]:
    """What to do next."""
    if found.proven:
        return (
            [f"\nKeep the head; it proves later: dataops publications verify --head {found.head[:SHORTEST]}"]
            if found.head
            else []
        )
    if found.broken is None:
        return ["\nWhat happened to the rows:  dataops explain DATASET --key …"]
    said = ["\nNothing was changed. Compare with a backup and with receipts on reports."]
    if found.broken.what != "tail cut":
        said.append("What is behind it, each for itself:  dataops publications verify --from NEXT")
    return said
