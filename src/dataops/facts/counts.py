"""What a publication did to one dataset, as every document counts it."""

from __future__ import annotations

from collections.abc import Mapping

from dataops.facts.document import Part


class PublishedCounts(Part):
    """What was published of one dataset."""

    table_name: str
    received: int
    new: int
    changed: int
    unchanged: int
    quarantined: int
    deleted: int
    retained: int
    """gone at the source, kept because published rows refer to them"""
    controls: Mapping[str, str]
    """control totals, exact"""
