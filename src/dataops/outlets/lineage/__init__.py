"""Lineage: the graph for people, and what happened as events for servers."""
