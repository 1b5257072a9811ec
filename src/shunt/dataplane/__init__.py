"""The kernel's side of Shunt, seen from Python: load, pin, attach, typed maps, counters.

The only room that knows ctypes and bpf(2). May import `shunt.errors` and `shunt.model`.

Two halves, and the first needs no kernel:
`elf.py` -> `btf.py` -> `layouts.py` read what a compiled object says about its own structs, so that
`bpf/abi.h` stays their one definition; `object.py` then puts the object into the kernel and gives
`Program` and `Map` handles. Begin with `object.py`, then `maps.py` and `attach.py`.
"""
