"""Who is who: two spellings of one name are one person, so that nobody agrees with himself.

Names are compared as UTS 39 ("Unicode Security Mechanisms", section 4) compares identifiers: compatibility forms and
case folded (NFKC), blanks and invisible characters left out, look-alike letters taken for one another.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache

from dataops.declared.errors import DeclarationError

INVISIBLE = {"Cf", "Cc", "Mn", "Me"}  # format and control characters, marks that change how a letter looks


def named(name: str) -> str:
    """The name as it is recorded: composed, without blanks around it. Raises DeclarationError where nothing is left."""
    found = " ".join(unicodedata.normalize("NFC", name).split())
    if not _seen(found):
        raise DeclarationError(f"{name!r} names nobody; say who acts, e.g. by DATAOPS_PERSON")
    return found


def same(one: str, other: str) -> bool:
    """Whether two names may be one person's."""
    return not _skeletons(one).isdisjoint(_skeletons(other))


def _skeletons(name: str) -> set[str]:
    """What is left of a name when everything is gone that a reader may overlook.

    Several, since capitals look like other letters than small ones do: I is an i, and looks like an l.
    """
    seen = _seen(name)
    written = [seen, seen.replace("I", "l"), seen.casefold()]
    return {"".join(_alike().get(letter, letter) for letter in text).casefold() for text in written}


def _seen(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name)
    return "".join(c for c in letters if not c.isspace() and unicodedata.category(c) not in INVISIBLE)


@cache
def _alike() -> Mapping[str, str]:
    """Letter -> the ASCII letter, or else the first of all, that looks like it; ASCII letters stand for themselves."""
    from confusable_homoglyphs import confusables

    found = {"0": "O", "1": "l", "|": "l"}
    for letter, others in confusables.confusables_data.items():
        alike = sorted(o["c"] for o in others if len(o["c"]) == 1)
        if not letter.isascii() and alike and alike[0] < letter:
            found[letter] = found.get(alike[0], alike[0])
    return found
