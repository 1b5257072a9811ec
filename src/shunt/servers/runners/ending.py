"""How a command on another machine is ended when it takes too long, and how that is proven.

To give up a connection ends nothing: what was started goes on. So a command is started behind a
*gate*: a shell that carries a word nobody else knows, says it on standard error, and waits for a
line. Before that line nothing has begun, nor will it begin once the input ends. After it, the
processes are found by the word, with their children and the groups that they lead, and ended.
"""

from __future__ import annotations

import re

OPEN = "go\n"


def gated(words: tuple[str, ...], word: str) -> tuple[str, ...]:
    """Return the words that run `words` once `OPEN` comes in; what follows is their input.

    The word stands first: some systems show only the beginning of a command's line.
    """
    script = f': {word}; echo "{word}" >&2; read go || exit 1; "$@"; exit $?'
    return ("sh", "-c", script, "sh", *words)


def ending(word: str) -> str:
    """Return the shell script that ends what was started behind the gate `word`.

    It stops the processes before it ends any, so that none is born meanwhile. Its last line is
    `proof` of the word if none is left but those that only wait to be fetched by their parents.
    Linux is asked by /proc, for small systems have no `ps`.
    """
    # In brackets it does not find the process that looks for it.
    pattern = f"[{word[0]}]{re.escape(word[1:])}"
    return _ENDING.replace("PATTERN", pattern) + f'echo "{word} $left"\n'


def proof(word: str) -> str:
    """Return the line that says that all have ended."""
    return f"{word} ended"


_ENDING = r"""
if [ -r /proc/self/stat ]; then
    roots() { grep -l 'PATTERN' /proc/[0-9]*/cmdline 2>/dev/null | sed 's/[^0-9]//g'; }
    processes() {
        cat /proc/[0-9]*/stat 2>/dev/null |
            sed -n 's/^\([0-9]*\) (.*) \([^Z]\) \([0-9]*\) \([0-9]*\) .*/\1 \3 \4/p'
    }
else
    UNIX95=1; export UNIX95
    roots() { ps -A -o pid= -o args= | grep 'PATTERN' | awk '{ print $1 }'; }
    processes() { ps -A -o pid= -o ppid= -o pgid= -o args= | sed '/<defunct>/d'; }
fi
members() {
    processes | awk '
        { pid[NR] = $1; parent[NR] = $2; group[NR] = $3 }
        END {
            n = split(roots, root, " ")
            for (i = 1; i <= n; i++) ours[root[i]] = 1
            more = 1
            while (more) {
                more = 0
                for (i = 1; i <= NR; i++)
                    if (ours[pid[i]] != 1 && (ours[parent[i]] == 1 || ours[group[i]] == 1)) {
                        ours[pid[i]] = 1
                        more = 1
                    }
            }
            for (i = 1; i <= NR; i++) if (ours[pid[i]] == 1) print pid[i]
        }' roots="$roots" -
}
roots=`roots`
roots=`echo $roots`
seen=
while :; do
    new=
    for process in `members`; do
        case " $roots $seen " in
            *" $process "*) ;;
            *) new="$new $process" ;;
        esac
    done
    [ -n "$new" ] || break
    kill -STOP $new 2>/dev/null
    seen="$seen$new"
done
[ -z "$seen$roots" ] || kill -KILL $seen $roots 2>/dev/null
for try in 1 2 3 4 5 6 7 8; do
    left=
    for process in `processes | awk '{ print $1 }'`; do
        case " $seen $roots " in
            *" $process "*) left="$left $process" ;;
        esac
    done
    [ -n "$left" ] || { left=ended; break; }
    sleep 0.2 2>/dev/null || sleep 1
done
"""
