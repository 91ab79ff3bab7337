"""Analyses: pure functions, Arrow or numpy in and out. They know no warehouse and no group, and read no file."""
