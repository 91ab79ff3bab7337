"""Rules that the data themselves propose: found in what is published, tried on history and on damage, never applied."""
