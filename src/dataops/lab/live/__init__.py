"""A live source to try things on: a PostgreSQL that holds what install files hold, and changes while it is read."""
