"""A small project with three source tables, and an in-memory source: what tests of the engine run on."""
