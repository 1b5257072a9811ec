"""What the first shell of Bourne does not know; it is still /bin/sh on Solaris 10."""

from __future__ import annotations

import re

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
