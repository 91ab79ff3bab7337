"""Audits of what is published: against the ledger, against itself, and against the source."""
