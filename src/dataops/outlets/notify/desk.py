"""What stories are written from: one installation's facts, each read once for a pass of the relay."""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING

from dataops.declared.reports import ReportFile
from dataops.facts import impact, report_list, status
from dataops.facts.text import day, money, stamp
from dataops.ledger.workspace import Workspace

if TYPE_CHECKING:
    from dataops.facts.impact import ImpactDocument
    from dataops.facts.status import GroupFacts, Status


class Desk:
    """The facts of one pass."""

    def __init__(self, work: Workspace) -> None:
        self.work = work
        self.impact = cache(self._impact)

    @cached_property
    def status(self) -> Status:
        """How every group stands."""
        return status.read(self.work)

    @cached_property
    def reports(self) -> dict[str, ReportFile]:
        """The declared reports."""
        return report_list.load(self.work)

    def group(self, name: str) -> GroupFacts | None:
        """How a group stands; None for what is no group, such as the warehouse."""
        return next((group for group in self.status.groups if group.group == name), None)

    def _impact(self, group: str) -> ImpactDocument:
        return impact.of_group(self.work, group)

    def stands_at(self, name: str) -> str | None:
        """Up to when a group's figures go: `30 June 2026`; None before its first publication."""
        group = self.group(name)
        if group is None or group.as_of_day is None:
            return None
        return day(group.as_of_day) if group.as_of_is_day else f"{stamp(group.as_of_day)} UTC"

    def money(self, value: str) -> str:
        """`EUR 1,204,311.90`."""
        return f"{self.work.settings.project.currency} {money(value)}"

    def site(self, page: str) -> str:
        """The address of a page of the site."""
        return f"{self.work.settings.site_url}/{page}"

    @property
    def required_actions(self) -> str:
        """Where people answer in Airflow."""
        return f"{self.work.settings.airflow_url}/required_actions?response_received=false"

    def owner(self, group: str, table: str | None = None) -> str:
        """Who owns a dataset, or the group where none is named."""
        catalog = self.work.catalog
        if table in catalog.datasets:
            return catalog.datasets[table].contract.platform.owner
        return catalog.groups[group].checkpoint.owner if group in catalog.groups else "operations"


__all__ = ["Desk"]
