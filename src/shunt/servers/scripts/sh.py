"""Shell scripts for Unix servers.

What is written here itself is for every shell since Bourne's, which is /bin/sh on Solaris 10: no
`$(...)`, no `test -e`, no `!` before a command.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote

from shunt.model.config import OperatingSystem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunt.servers.steps import Command, Plan, Step
    from shunt.servers.wish import Wish

# `./shunt-a.sh` gets the better shell where there is one; `sh shunt-a.sh` must do as well.
_SHELLS = {OperatingSystem.SOLARIS10: "/usr/xpg4/bin/sh"}
_MARK = "SHUNT_END"
_UNDO = "SHUNT_UNDO"
_HEAD = """\
#!{shell}
# Sets up {name} as a server of {clusters}.
#
#   sh {file} check   says what is missing; exit status 1 if anything is
#   sh {file} apply   does what is missing, each step checked; undoes its steps if one fails
#   sh {file} undo    takes back what `apply` did, of this script and of others for {name}
#
# Run it as root. Every part may be repeated. Former contents of changed files, and how each step
# is undone, are kept in {state} until `undo`.
{notes}
set -u
umask 022
PATH=$PATH:/usr/sbin:/sbin
export PATH
state={state}

# keep FILE: save its content, once.
keep() {{
    slot=$state/`echo "$1" | tr / _`
    if [ -f "$slot" ] || [ -f "$slot.absent" ]; then return 0; fi
    mkdir -p "$state" || return 1
    if [ -f "$1" ]; then cat "$1" > "$slot.new" && mv "$slot.new" "$slot"
    else : > "$slot.absent"; fi
}}

# give_back FILE: restore what was saved.
give_back() {{
    slot=$state/`echo "$1" | tr / _`
    if [ -f "$slot" ]; then if [ -f "$1" ]; then cat "$slot" > "$1"; fi && rm -f "$slot"
    elif [ -f "$slot.absent" ]; then rm -f "$1" "$slot.absent"; fi
}}
"""
_TAIL = """
# did: names of files, one for each step done, the newest first; each says how it is undone.
did() {{
    ls "$state" 2>/dev/null | grep '^did_[0-9]*_' | sort -r
}}

file_of() {{
    name=`mark "$1"`
    did | grep "^did_[0-9]*_$name\\$"
}}

# note STEP: write down how it is undone, before it is done; the first word on it stays.
note() {{
    if [ -n "`file_of $1`" ]; then return 0; fi
    ( umask 077; mkdir -p "$state" ) || return 1
    last=`did | sed -n '1s/^did_\\([0-9]*\\)_.*/\\1/p'`
    file="$state/did_`expr ${{last:-999}} + 1`_`mark $1`"
    "note_$1" > "$state/new" && mv "$state/new" "$file"
}}

check() {{
    missing=0
    for step in $steps; do
        if "check_$step" 2>/dev/null; then echo "right:   `title $step`"
        else echo "missing: `title $step`"; missing=1; fi
    done
    return $missing
}}

undo_these() {{
    failed=0
    for file in "$@"; do
        what=`sed -n '1s/^# //p' "$state/$file"`
        echo "undo:    $what"
        if ( . "$state/$file" ); then rm -f "$state/$file"
        else echo "FAILED:  undo $what" >&2; failed=1; fi
    done
    rmdir "$state" /var/lib/shunt 2>/dev/null
    return $failed
}}

# Aliases go before and silence goes last, whatever the order in which they came.
undo() {{
    undo_these `did | grep '_alias:'` `did | egrep -v '_(alias|silence):'` \\
        `did | grep '_silence:'`
}}

apply() {{
    reached=
    for step in $steps; do
        if "check_$step" 2>/dev/null; then echo "right:   `title $step`"; continue; fi
        echo "do:      `title $step`"
        if note $step; then
            reached="$step $reached"
            if "do_$step" && "check_$step"; then continue; fi
        fi
        echo "FAILED:  `title $step`" >&2
        undo_these `for one in $reached; do file_of $one; done`
        return 1
    done
}}

case ${{1:-}} in
    check) check ;;
    apply) apply ;;
    undo) undo ;;
    *) echo "usage: sh $0 check|apply|undo" >&2; exit 2 ;;
esac
"""


def script(wish: Wish, plan: Plan) -> str:
    """Return the plan as a shell script."""
    name = wish.server.name
    steps = list(enumerate(plan.steps, 1))
    notes = [f"# Note: {finding.what}. {finding.why}." for finding in plan.findings]
    head = _HEAD.format(
        shell=_SHELLS.get(wish.server.os, "/bin/sh"),
        name=name,
        clusters=", ".join(str(address) for address in wish.clusters),
        file=f"shunt-{name}.sh",
        state=shlex.quote(f"/var/lib/shunt/script-{name}"),
        notes="\n".join(notes),
    )
    numbers = " ".join(str(number) for number, _ in steps)
    known = _cases("title", ((n, step.what) for n, step in steps))
    known += _cases("mark", ((n, _name(step.id)) for n, step in steps))
    bodies = "".join(_step(number, step) for number, step in steps)
    return head + bodies + f'\nsteps="{numbers}"\n{known}' + _TAIL.format()


def _name(step: str) -> str:
    """Return the id as part of a file's name: `_` ends what stands before it."""
    return quote(step, safe=":@").replace("_", "%5F")


def _cases(name: str, texts: Iterable[tuple[int, str]]) -> str:
    cases = "".join(f"        {n}) echo {shlex.quote(text)} ;;\n" for n, text in texts)
    return f"\n{name}() {{\n    case $1 in\n{cases}    esac\n}}\n"


def _step(number: int, step: Step) -> str:
    note = f"# {step.note}\n" if step.note else ""
    undo = ((_give_back(command) if command.file else _line(command)) for command in step.undo)
    return (
        f"\n# {number}. {step.what}\n# Why: {step.why}.\n{note}"
        + _function(f"check_{number}", (_line(command) for command in step.check))
        + _function(f"do_{number}", (text for command in step.do for text in _do(command)))
        + f"note_{number}() {{\n    cat <<'{_UNDO}'\n# {step.what}\n"
        + "".join(f"{_or(line, 'exit 1')}\n" for line in undo)
        + f"{_UNDO}\n}}\n"
    )


def _function(name: str, lines: Iterable[str]) -> str:
    body = "".join(f"    {_or(line, 'return 1')}\n" for line in lines) or "    :\n"
    return f"{name}() {{\n{body}}}\n"


def _or(line: str, end: str) -> str:
    """Return the line, with `end` if it fails; a here-document follows its first line."""
    first, newline, rest = line.partition("\n")
    if newline and f"<<'{_MARK}'" in first:
        return f"{first} || {end}\n{rest}"
    return f"{line} || {end}"


def _do(command: Command) -> tuple[str, ...]:
    keep = (f"keep {shlex.quote(command.file)}",) if command.file else ()
    return (*keep, _line(command))


def _give_back(command: Command) -> str:
    assert command.file is not None
    return f"give_back {shlex.quote(command.file)}"


def _line(command: Command) -> str:
    if command.argv[:2] == ("sh", "-c"):
        line = command.argv[2].strip()
        text = f"({chr(10)}{line}{chr(10)}    )" if "\n" in line else f"( {line} )"
    else:
        text = shlex.join(command.argv)
    if command.ok != (0,):
        text = f"{{ {text}; case $? in {'|'.join(map(str, command.ok))}) ;; *) false ;; esac; }}"
    if command.stdin is None:
        return text
    assert _MARK not in command.stdin, "the content would end the here-document"
    if command.stdin.endswith("\n"):
        one_line = "\n" not in text
        assert one_line, "a here-document needs its command on one line"
        return f"{text} <<'{_MARK}'\n{command.stdin}{_MARK}"
    return f"printf %s {shlex.quote(command.stdin)} | {text}"
