"""The configuration file: text to model, and back.

The way of a file: `tree` (YAML to nodes with positions) -> `plain` (nodes to plain data, and the
place of every path) -> `draft` (plain data to the entities of `schema`, by way of `kinds` and
`scalars`) -> `references` and `resolve` (names, addresses, services: what spans entities) ->
`shunt.model.config.Config`. Problems are collected in a `report`, so that one reading shows them
all. `normal` is the way back to text.

May import `shunt.model` and `shunt.errors`; opens a file in `reading` and nowhere else.
Begin with `reading.py`, then `schema.py`.
"""

from shunt.config.advice import warnings
from shunt.config.normal import dump, normalised
from shunt.config.reading import Located, load, load_located, parse, parse_located

__all__ = [
    "Located",
    "dump",
    "load",
    "load_located",
    "normalised",
    "parse",
    "parse_located",
    "warnings",
]
