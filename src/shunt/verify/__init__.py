"""Proof from the wire: is every server set up for direct return, and does nobody else answer?

The core is pure: `procedure.py` says what to send, phase by phase, `transcript.py` keeps what was
sent and heard, `judge.py` reads verdicts from it. `wire.py` is the only file that touches a socket.
Imports `shunt.network`, `shunt.model`, `shunt.advisors` (what to ask an application) and
`shunt.servers` (how to mend a server). Begin with `procedure.py`; `watch.py` stands beside it.
"""
