"""Linux servers.

May import what every driver may: `shunt.servers.steps`, `wish`, `record`, and the model.
Begin with `driver.py`, the table of contents of the plan. `observed.py` is what is known of a host,
`parse.py` how it is read; each other file plans one subject.
"""
