"""Runners execute commands on a server: here, by SSH, by WinRM.

The only room of `servers` that starts processes and opens connections; may import
`shunt.servers.steps`, `wish`, the model and the errors. Begin with `base.py`; `opening.py` chooses.
"""
