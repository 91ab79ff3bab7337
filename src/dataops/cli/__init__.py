"""The command line: one thin command per verb, over the same functions that the DAG tasks call.

Knows words, widths and exit codes; every fact comes from the engine. Nothing heavy is imported before a command runs.
"""

from dataops.cli.process import main

__all__ = ["main"]
