"""A strict stand-in for Marquez 0.51, over SQLite.

It answers what was asked of a real server when its exchanges were recorded, and refuses everything else (501, and
`refused` names it) instead of guessing. What it cannot show: speed, retention, search beyond names.
"""

from tests.support.marquez.server import MarquezDouble

__all__ = ["MarquezDouble"]
