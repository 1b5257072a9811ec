"""What the first shell of Bourne does not know (still /bin/sh on Solaris 10), and shells to try."""

from __future__ import annotations

import re
import shutil

NOT_BOURNE = re.compile(
    r"""\$\(                           # command substitution and arithmetic
    | (?:\[|test)\ (?:!\ )?-e\b       # what exists
    | (?:^|[;|&({]|if|while)\s*!\s     # negation of a command
    | \bexport\ \w+=
    | \bcommand\ -v\b
    | \bgrep\ -[A-Za-z]*[qFE]         # /usr/bin/grep of Solaris 10 has none of these
    | \$\{\w+[%\#]                    # cutting of parameters
    | \[\[ | (?<!\.)\blocal\ """,
    re.VERBOSE | re.MULTILINE,
)

# Debian always has the first two; mksh is akin to the shells of AIX and HP-UX.
SHELLS = ["dash", "bash", *filter(shutil.which, ("mksh",))]
if shutil.which("busybox"):
    SHELLS.append("busybox sh")
