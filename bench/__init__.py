"""Benchmarks that anyone can run: `python -m bench [SUBJECT...]`; each has its baseline in the run.

Figures are ratios where they can be: absolute times belong to the machine that they were taken on.
"""
