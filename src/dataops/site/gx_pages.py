"""Great Expectations' own result pages, by its own renderers, made fit to be opened offline.

GX's pages load their style and 13 scripts from the network, and put descriptions into the page unescaped. Its content
is kept; its shell (CDN files, logo, newsletter, tutorial) is replaced by ours, and markup that could act is taken out.
The one file besides dataops.gate.gx that imports GX: it renders, and judges nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Set
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

from dataops.site.pages import HERE, Site, fingerprint, is_id
from dataops.site.strip import strip

Document = dict[str, Any]


def build(site: Site, kept: Mapping[str, Path], private: Set[str]) -> dict[str, dict[str, str]]:
    """Renders every kept result that is not on the site yet; batch id -> table -> page.

    `private` names the tables with personal data, of which no observed value and no message is shown.
    """
    found: dict[str, dict[str, str]] = {}
    for batch_id, file in kept.items():
        text = file.read_bytes()
        mark = fingerprint([hashlib.sha256(text).hexdigest(), sorted(private)])
        pages = site.made.get(f"{_folder(batch_id)}.json", "")
        known = {p.removeprefix(f"{_folder(batch_id)}/").removesuffix(".html"): p for p in site.made if p.startswith(f"{_folder(batch_id)}/")}
        if known and all(site.is_current(page, mark) for page in known.values()):
            found[batch_id] = dict(sorted(known.items()))
        else:
            found[batch_id] = _render_run(site, batch_id, json.loads(text), private, mark)
    return found
