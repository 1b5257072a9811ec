"""Advisors: does a server do its work, how loaded is it?

Each protocol is a dialogue without input or output: bytes in, bytes out, a verdict at the end. So
it is tested without a network and cannot hang: `run.py` alone has sockets, clocks and processes.
May import `shunt.model` and `shunt.errors`.

Begin with `dialogue.py`, then `protocols/smtp.py` as an example, then `advisor.py` (what an advisor
is), `registry.py` (how a name finds it, plug-ins too) and `run.py` (many checks on one event loop).
"""
