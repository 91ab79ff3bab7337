"""The graph of what is made from what, for people."""
