"""What runs inside the machine of `bench.machines`, by Debian's own Python.

It sends known numbers of frames through each way and prints what a frame cost. The machine's clock
counts instructions, so the nanoseconds of its kernel are instructions here. Begin with `__main__`.
"""
