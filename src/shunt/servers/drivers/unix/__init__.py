"""What the Unix systems other than Linux have in common: their words, and the shape of their plan.

These stacks answer ARP only for addresses of the receiving interface, so an alias on the loopback
is silent by itself. What differs is the command that adds it, where it is kept for the next boot,
and the switch that makes a host refuse packets for another interface's address.
May import what every driver may, and `shunt.servers.routes`.
Begin with `driver.py`; a system's own module, one folder up, fills in its words.
"""
