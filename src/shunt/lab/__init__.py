"""Laboratories of network namespaces, for the demonstration, the tests and the benchmarks.

May import every room below it and pyroute2; starts processes. Nothing of the host's own network
is changed: links are made inside the namespaces, and all goes when the owner goes, however it goes.

Begin with `lab.py` (what a laboratory is), then `host.py` (what one does inside); `reaper.py`
removes.
"""
