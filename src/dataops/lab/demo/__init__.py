"""The demo: six acts from an empty folder to published figures that tie to the source's.

`install` runs on a bare Python and imports the standard library only; the other modules run inside .venv.
"""
