"""Imported once by the process that every child is forked from: what is slow to import, nothing that connects."""

from __future__ import annotations

import adbc_driver_postgresql.dbapi
import airflow.providers.slack.hooks.slack
import airflow.providers.smtp.hooks.smtp
import psycopg
import pytest
import sqlglot

import dataops.gate.gx
import dataops.gate.soda
import dataops.outlets.notify.relay
import dataops.pipeline.jobs
import dataops.warehouse.duckdb
import dataops.warehouse.postgres
import tests.support.oracle

dataops.gate.gx.load()
dataops.gate.soda.load()

__all__ = ["adbc_driver_postgresql", "airflow", "dataops", "psycopg", "pytest", "sqlglot", "tests"]
