"""The commands: parse, call, print, and nothing else.

May import every room. Begin with `main.py`, which lists the commands; each group has a file.
"""
