"""Systems that nobody here can boot: their tools, as far as Shunt's commands need them.

Each tool keeps its state in a file, refuses what the vendor's manual refuses, and a reboot loses
what is not in a boot file. So the commands that drivers print run as sequences: apply, check, apply
again, reboot, remove. `tools.py` is the tools, `host.py` makes a host of them and reboots it,
`windows.py` is an interpreter for the PowerShell that Shunt writes.
"""
