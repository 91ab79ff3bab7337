"""Schema `ops`: what was received, judged and published; all its SQL, and typed records."""
