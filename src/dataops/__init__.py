"""A data-quality-first platform: nothing is read by people unless a gate has passed on exactly those rows."""
