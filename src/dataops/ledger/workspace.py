"""One installation at work: its settings, what is declared and where it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import Connection

from dataops.declared import catalog as catalogs
from dataops.declared import settings as settings_
from dataops.declared.catalog import Catalog
from dataops.declared.settings import Settings
from dataops.warehouse import Warehouse, open_warehouse

if TYPE_CHECKING:
    from dataops.warehouse.duckdb_file import Healed


@dataclass(frozen=True)
class Workspace:
    """What every job needs; nothing in it is connected until it is used."""

    settings: Settings
    catalog: Catalog
    warehouse: Warehouse


def open_workspace(settings: Settings | None = None, project: Path | None = None) -> Workspace:
    """Raises DeclarationError for a mistake in the environment or in any declaration."""
    settings = settings or settings_.load(project=project)
    return Workspace(settings, catalogs.load(settings.paths), open_warehouse(settings, _record_healed))


def _record_healed(connection: Connection, healed: Healed) -> None:
    from dataops.ledger.healing import record_healed  # it knows incidents, for which nobody waits who only opens

    record_healed(connection, healed)
