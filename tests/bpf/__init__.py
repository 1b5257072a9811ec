"""The data plane itself: the real programs, run by the kernel on made frames."""
