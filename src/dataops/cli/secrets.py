"""Nothing that is printed or logged holds a password: addresses are masked wherever they come from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote

MASK = "***"
TELLING, WORD = 4, 12  # lengths
_IN_URL = re.compile(r"(\w+://[^\s:/@]*:)([^\s]+)@")
_IN_QUERY = re.compile(r"([?&;](?:password|pwd|sslpassword)=)([^&;\s]+)", re.IGNORECASE)
_ADDRESSES = ("DATAOPS_WAREHOUSE_URL", "DATAOPS_SOURCE_URL")


def masked(text: str, environ: Mapping[str, str] | None = None) -> str:
    """The text without the passwords of any URL in it, and without those of the configured addresses."""
    text = _IN_QUERY.sub(rf"\1{MASK}", _IN_URL.sub(rf"\1{MASK}@", text))
    for password in _passwords(os.environ if environ is None else environ):
        text = text.replace(password, MASK)
    return text


def _passwords(environ: Mapping[str, str]) -> list[str]:
    found = (form.search(environ.get(name, "")) for name in _ADDRESSES for form in (_IN_URL, _IN_QUERY))
    raw = [match[2] for match in found if match]
    return sorted(
        {form for text in raw for form in (text, unquote(text)) if not _is_a_word(form)}, key=len, reverse=True
    )


def _is_a_word(password: str) -> bool:
    """A password such as `dataops` cannot be told from ordinary text; masking it would make messages unreadable."""
    return len(password) < TELLING or (password.isalpha() and len(password) < WORD)
