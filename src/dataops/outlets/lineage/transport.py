"""A transport of OpenLineage's client that keeps events for the relay: a scheduler's own go the same way as ours.

In Airflow: AIRFLOW__OPENLINEAGE__TRANSPORT={"type": "dataops.outlets.lineage.transport.OutboxTransport"}.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from openlineage.client.serde import Serde
from openlineage.client.transport import Config, Transport

from dataops.declared import settings
from dataops.declared.errors import DataopsError
from dataops.outlets.lineage import spool
from dataops.warehouse import open_warehouse

if TYPE_CHECKING:
    from openlineage.client.client import Event

OWN = ("outbox", "outbox.relay")
"""Jobs that tell lineage: one that told of itself would never end."""


class OutboxTransport(Transport):
    """Writes each event to a file that survives a power cut; where the warehouse is a server, hands the files in.

    So an event waits for nobody where the warehouse is one file with one writer, and reaches the relay from every
    machine where it is a server. A warehouse that cannot be reached leaves the files to the next event or relay.
    """

    kind = "dataops_outbox"

    def __init__(self, config: Config) -> None:
        """It has no options: where things are is said by the environment, as for every command."""

    def emit(self, event: Event) -> None:
        """Raises OSError where not even a file can be written; DeclarationError where the environment means nothing."""
        text = Serde.to_json(event)
        if json.loads(text).get("job", {}).get("name") in OWN:
            return
        found = settings.load()
        spool.put(found.paths, text)
        warehouse = open_warehouse(found)
        if warehouse.dialect == "duckdb":
            return
        try:
            spool.hand_in(found.paths, warehouse)
        except DataopsError:
            return
