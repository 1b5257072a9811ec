"""A plan as a script, for those who let nobody in: commented, repeatable, with check and undo.

May import the drivers, `shunt.servers.steps`, `wish` and `powershell`, the model and the errors.
Begin with `writing.py`.
"""
