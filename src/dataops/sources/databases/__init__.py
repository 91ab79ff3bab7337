"""Databases as sources: what every one of them needs, and one module per server."""
