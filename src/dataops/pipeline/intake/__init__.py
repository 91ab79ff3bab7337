"""From a source to a sealed batch."""
