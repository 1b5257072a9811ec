"""Slot tables, weights and the life of a slot: pure functions over numbers.

Imports numpy, hashlib, `shunt.model` and `shunt.errors`; knows no kernels, sockets or clocks.
Begin with `tables.py` (who gets which slot), which leads to `quotas.py`, `arrivals.py` and
`prices.py`; then `transitions.py` (what becomes of flows when a slot changes hands) and
`weights.py` (figures about tables).
"""
