"""Route tables of every system: read a listing, name the extra routes, say how to delete them.

Pure functions over text; nothing here runs a command. Imports `shunt.model` and `shunt.errors`.
Begin with `rows.py` (what a row is) and `answer.py` (the whole question in one call), then
`rule.py`; each layout of a listing has a parser of its own.
"""
