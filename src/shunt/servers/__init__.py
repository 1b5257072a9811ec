"""Setting up the servers: what each system needs, as steps that can be checked and undone.

May import `shunt.model` and `shunt.errors`. Processes are started in `runners/` only.
Begin with `steps.py` (the words), then `drivers/` (one module a system), `apply.py` (who executes),
`fleet.py` (many at once), `scripts/` (for those who let nobody in).
"""
