"""Finds, in all that libbpf and the verifier print, the one line that says what is wrong; pure.

The verdict is the verifier's last line that is none of its diary: instructions, source lines,
states of registers, statistics. Those come in other forms with nearly every kernel; the table of
`tests/dataplane/verdicts` has them as they are.
"""

from __future__ import annotations

import re

_LONGEST = 1 << 16  # characters; a log can have a hundred millions, and the verdict ends it
_BEGIN = re.compile(r"prog '([^'\n]+)'.*BEGIN PROG LOAD LOG --\n")
_FAILED = re.compile(r"prog '([^']+)': BPF program load failed: (.*\S)")
_DIARY = re.compile(
    r"^$|^;|^\d+: |"  # nothing, source, instructions
    r"^(from \d+ to \d+|cur state|old state|caller|callee|frame\d+|to caller at \d+):|"
    r"^(frame\d+: )?(R\d+|fp-\d+)(_\w+)?=|"  # but not "R2 type=mem expected=fp"
    r"^returning from callee|^propagating |^mark_precise|^last_idx |^regs=|^parent |"
    r"^(Validating \w+\(\) func#|Func#)\d+|"
    r"^processed \d+ insns|^verification time|^stack depth|^Live regs before insn"
)
_BEHIND_A_JUMP = re.compile(r"^\d+: \(\w\w\) .*goto pc[+-]\d+ (\S.*)")
_SOURCE = re.compile(r"^; (?! *@)(.*?\S)(?: @ (\S+))?$")
_BESIDE = re.compile(r"failed to load object|: failed to load: -\d+|Retrying without BTF")


def verifier_reason(log: str) -> str:
    """Return the verifier's verdict, with the program and the source line it is about.

    Where the verifier said nothing but its diary (a log that is cut off), the kernel's error takes
    the verdict's place. Where the log holds no verifier's text (a map could not be made, say), it
    is the first thing that libbpf complained of, for what follows it are consequences. "" if there
    is nothing.
    """
    program, lines = _told(log)
    reason, source = "", ""
    for line in lines:
        if at := _SOURCE.match(line):
            source = f"`{at[1]}`" + (f", {at[2]}" if at[2] else "")
        glued = _BEHIND_A_JUMP.match(line)  # the kernel does not always begin a line
        said = glued[1] if glued else line
        if not _DIARY.search(said):
            reason = said
    if reason:
        return f"{program}: {reason}" + (f" (at {source})" if source else "")
    if failed := _FAILED.search(log):
        return f"{failed[1]}: {failed[2]}"
    complaints = (line.removeprefix("libbpf: ").strip() for line in log.splitlines())
    return next((line for line in complaints if line and not _BESIDE.search(line)), "")


def _told(log: str) -> tuple[str, list[str]]:
    """Return which program the verifier refused, and the end of what it told, in lines."""
    begins = [*_BEGIN.finditer(log)]
    if not begins:
        return "", []
    told = log[begins[-1].end() :]
    if (end := told.find("-- END PROG LOAD LOG")) >= 0:
        told = told[:end]
    lines = told[-_LONGEST:].splitlines()
    return begins[-1][1], [line.strip() for line in lines[len(told) > _LONGEST :]]
