"""Configuration as frozen, typed data.

Imports nothing of Shunt but `errors`. Begin with `config.py`, then `addresses.py`.
"""
