"""What this machine sees and says on its segments: links, neighbours, announcements, frames.

The only room with netlink and packet sockets. Imports `shunt.model` and `shunt.errors`; no netlink
type leaves it. Begin with `packets.py` and `frames/` for the wire, `neighbours.py` for the kernel.
"""
