"""Packets as data: what goes in, what becomes of it, and what it is counted as.

Begin with `case.py`; each other module is one table.
"""
