"""Finds, in all that libbpf and the verifier print, the one line that says what is wrong; pure."""

from __future__ import annotations

import re

_BEGIN = re.compile(r"prog '([^']+)'.*BEGIN PROG LOAD LOG")
_END = re.compile(r"END PROG LOAD LOG")
_NOISE = re.compile(
    r"^processed \d+ insns|^verification time|^stack depth|^mark_precise|"
    r"^\d+: |^from \d+ to \d+|^R\d+.*=|^$"
)
_SOURCE = re.compile(r"^; (.*\S)")
_BESIDE = re.compile(r"failed to load object|: failed to load: -\d+|Retrying without BTF")


def verifier_reason(log: str) -> str:
    """Return the verifier's last meaningful line, with the program and the source line it is about.

    Where the log holds no verifier's text (a map could not be made, say), the first thing that
    libbpf complained of, for what follows it are consequences. "" if there is nothing.
    """
    program, reason, source = "", "", ""
    inside = False
    for line in (raw.strip() for raw in log.splitlines()):
        if begin := _BEGIN.search(line):
            program, inside = begin[1], True
        elif _END.search(line):
            inside = False
        elif inside and (at := _SOURCE.match(line)):
            source = at[1]
        elif inside and not _NOISE.search(line):
            reason = line
    if reason:
        return f"{program}: {reason}" + (f" (at `{source}`)" if source else "")
    complaints = (line.removeprefix("libbpf: ").strip() for line in log.splitlines())
    return next((line for line in complaints if line and not _BESIDE.search(line)), "")
