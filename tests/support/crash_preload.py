"""Imported once by the process that every child is forked from: what is slow to import, nothing that connects."""

from __future__ import annotations

import os

os.environ["SODA_CORE_TELEMETRY_ENABLED"] = "false"
os.environ["GX_ANALYTICS_ENABLED"] = "false"

import adbc_driver_postgresql.dbapi
import great_expectations  # noqa: TID251  imported to be warm, not used
import great_expectations.checkpoint  # noqa: TID251
import great_expectations.expectations.core  # noqa: TID251
import psycopg
import pytest
import soda_core.contracts.contract_verification  # noqa: TID251
import soda_duckdb.common.data_sources.duckdb_data_source
import soda_postgres.common.data_sources.postgres_data_source
import sqlglot

import dataops.gate.gx
import dataops.gate.soda
import dataops.pipeline.jobs
import dataops.warehouse.duckdb
import dataops.warehouse.postgres
import tests.support.oracle

__all__ = ["adbc_driver_postgresql", "dataops", "great_expectations", "psycopg", "pytest", "soda_core"]
__all__ += ["soda_duckdb", "soda_postgres", "sqlglot", "tests"]
