"""What several files of these tests look at: Microsoft's data, loaded and built once."""

from __future__ import annotations

import pytest

from dataops.sources import open_source
from tests.conftest import PostgresServer
from tests.support.agreement import Outcomes, deliver, edition_url


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Outcomes:
    """The 2014 edition, one full load per warehouse. Tests that use it stand in the group `edition`, for one worker."""
    return deliver(tmp_path_factory.mktemp("edition"), postgres, [open_source(edition_url())])
