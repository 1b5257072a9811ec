"""A plan as a script, for those who let nobody in: commented, repeatable, with check and undo.

May import `shunt.servers.steps` and `wish`, the model and the errors. Begin with `writing.py`.
"""
