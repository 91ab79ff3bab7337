"""Where the command line gets its channels from: Airflow's connections, imported only when something is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataops.ledger.workspace import Workspace
    from dataops.outlets.notify.port import Channels


def channels(work: Workspace) -> Channels:
    """As the tasks have them."""
    from dataops.airflow import channels as airflow

    return airflow.of(work)


def listening(work: Workspace) -> Any:  # noqa: ANN401  a client of Slack's Socket Mode
    """What hears what people press in messages."""
    from dataops.airflow import channels as airflow

    return airflow.listening(work)
