"""One module an operating system: its facts, their strict parsers, its plan.

May import `shunt.servers.steps`, `wish` and `record`, and the model. Nothing here runs anything.
Begin with `registry.py`, then `linux/driver.py`, the most thorough one.
"""
