"""What is written when the warehouse's file had to be healed or restored: an incident, after the ledger was proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.engine import Connection

from dataops.declared.errors import PlatformError
from dataops.declared.layers import Layers
from dataops.ledger import chain, incidents, schema
from dataops.ledger.enums import IncidentKind
from dataops.ledger.incidents import Detail

if TYPE_CHECKING:
    from dataops.warehouse.duckdb_file import Healed

WAREHOUSE = "warehouse"  # stands where other incidents name a group


def record_healed(connection: Connection, healed: Healed) -> None:
    """Opens the incident of a file that was torn. Raises PlatformError when the chain of receipts does not hold."""
    if schema.version(connection) is None:
        return
    schema.ensure(connection, Layers())
    proof = chain.walk(chain.records(connection))
    if proof.broken:
        raise PlatformError(
            f"the warehouse file was torn by a kill and healed, but then {proof.broken.publication}"
            f" {proof.broken.says}: its ledger does not hold, so nothing is read from it or written to it.\n"
            "Run: dataops warehouse restore\n"
            "To go on with it all the same, move warehouse.duckdb.healed and warehouse.duckdb.rescue elsewhere."
        )
    detail = Detail(
        healed_at=healed.at,
        torn_blocks=healed.torn,
        log_bytes_cut=healed.log_cut,
        receipts_proven=proof.receipts,
    )
    sentence = (
        f"the warehouse file was torn by a kill and healed: {healed.sentence}; {proof.receipts} receipts proven,"
        " nothing was lost"
    )
    cause = f"torn {healed.at}"
    incidents.open_for(connection, WAREHOUSE, 0, sentence, detail, kind=IncidentKind.WAREHOUSE, cause=cause)
