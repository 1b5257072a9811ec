"""Run benchmarks, show their tables and keep them: `python -m bench [SUBJECT...] [--quick]`."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from bench import page
from shunt.errors import ShuntError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.figures import Figure

SUBJECTS = {
    "packets": "What a packet costs",
    "machines": "What a packet costs in instructions",
    "tracking": "What tracking costs",
    "web": "Requests per second",
    "coldstart": "Cold start",
    "changes": "Changes while packets pass",
    "health": "Health",
    "hostile": "Hostile servers",
    "tables": "Slot tables",
    "status": "Status of many services",
    "verify": "Proof from the wire",
}
APART = {"machines"}
"""What boots a machine and takes minutes: run only by its name, or by `make bench-machines`."""


def main(arguments: Sequence[str]) -> int:
    """Run the subjects that are named, or all; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", choices=[*SUBJECTS, []], metavar="SUBJECT",
                        help=", ".join(SUBJECTS))  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="small and rough; writes no page")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    chosen = parser.parse_args(arguments)
    if os.geteuid():
        print("bench: needs root, for namespaces and programs in the kernel", file=sys.stderr)
        return 2
    results: dict[str, list[Figure]] = {}
    for name in chosen.subjects or [name for name in SUBJECTS if name not in APART]:
        print(f"bench: {name} ...", end="", file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            results[name] = measure(name, quick=chosen.quick)
        except ShuntError as error:
            hint = f"\n  {error.hint}" if error.hint else ""
            print(f" failed: {error.message}{hint}", file=sys.stderr)
            return 3
        print(f" {time.monotonic() - began:.0f} s", file=sys.stderr)
        if not chosen.json:
            print(page.section(name, SUBJECTS[name], results[name]))
        if not chosen.quick:
            fresh = {name: page.section(name, SUBJECTS[name], results[name])}
            page.write(fresh, results[name], list(SUBJECTS))
    if chosen.json:
        print(json.dumps(document(results), indent=2))
    return 0


def measure(name: str, *, quick: bool) -> list[Figure]:
    """Run one subject; those that know no quick way are run as they are."""
    run = importlib.import_module(f"bench.{name}").run
    figures: list[Figure] = (
        run(quick=quick) if "quick" in inspect.signature(run).parameters else run()
    )
    return figures


def document(results: dict[str, list[Figure]]) -> dict[str, object]:
    """Return all figures for JSON."""
    return {
        "machine": page.machine(),
        "subjects": {
            name: [
                {"title": each.title, "rows": list(each.rows), "notes": list(each.notes)}
                for each in figures
            ]
            for name, figures in results.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
