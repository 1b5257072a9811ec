"""The daemon: wires configuration, network, balance and data plane together.

May import everything below it; nothing imports it but `cli`.

The way of a configuration change: `wishes.py` says which weight each server shall have and why,
`placing.py` which tables and member numbers that takes, `balancer.py` writes them to the kernel,
`sweep.py` settles slots and forgets what is over. `daemon.py` runs them; begin there. `health.py`
runs the checks and has the manager decide; `events.py` and `hooks.py` tell what happened.
"""
