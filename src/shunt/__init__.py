"""Shunt: a layer-4 load balancer for direct server return.

Begin reading in `shunt.cli.main` for the commands, in `shunt.dispatcher.daemon` for the
balancer, in `bpf/shunt.bpf.c` for the way of a frame.
"""

__version__ = "0.1.0"
