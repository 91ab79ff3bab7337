"""How well the gate detects: corruptions planted into clean batches, and what its rules said about them."""
