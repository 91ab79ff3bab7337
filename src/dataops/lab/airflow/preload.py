"""Imported once by Airflow's scheduler: what tasks need and is slow to import. Its tasks are forked from it.

Airflow looks for `airflow_local_settings.py` in its `config` folder; that is where this is imported. Nothing connects.
"""

from __future__ import annotations

from dataops.gate import gx, soda
from dataops.lab import faulty_source
from dataops.outlets.site import data_docs
from dataops.pipeline import backups, jobs, stewards, watch
from dataops.warehouse import duckdb, postgres

gx.load()
soda.load()

__all__ = ["backups", "data_docs", "duckdb", "faulty_source", "jobs", "postgres", "stewards", "watch"]
