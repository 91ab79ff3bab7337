"""Where rows come from: one port, several sources, one way to open them."""

from dataops.sources.opening import FoundSource, find_source, open_source
from dataops.sources.port import PROBLEMS, Also, Follow, Position, Request, Source, Window

__all__ = [
    "PROBLEMS", "Also", "Follow", "FoundSource", "Position", "Request", "Source", "Window", "find_source",
    "open_source",
]  # fmt: skip
