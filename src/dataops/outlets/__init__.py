"""Where facts go: pages, and later reports, messages and lineage events."""
