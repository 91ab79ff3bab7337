"""Where the command line gets its channels from: Airflow's connections, imported only when something is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataops.ledger.workspace import Workspace
    from dataops.outlets.notify.port import Channels


def channels(work: Workspace) -> Channels:
    """As the tasks have them."""
    from dataops.airflow import channels as airflow

    return airflow.of(work)
