"""AdventureWorks-shaped data at any scale, from nothing but a seed.

Every value is a function of (seed, table, index): chunks of any size, windows and deltas give the same rows.
"""

from dataops.sources.generator.shape import Shape
from dataops.sources.generator.source import Generator

__all__ = ["Generator", "Shape"]
