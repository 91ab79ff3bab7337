"""What people write, guarded: one SELECT at a time, in words that mean the same on every warehouse."""
