"""The `shunt` command: every command group by name, loaded when it is used."""

from __future__ import annotations

import sys

from cyclopts import App, CycloptsError

from shunt import __version__
from shunt.errors import ShuntError

app = App(
    name="shunt",
    version=__version__,
    help=(
        "Layer-4 load balancer for direct server return: dispatches, sets up the servers, "
        "proves it from the wire."
    ),
    help_format="markdown",
)

COMMANDS = {
    "config": "shunt.cli.config:app",
    "server": "shunt.cli.server:app",
    "routes": "shunt.cli.routes:routes",
    "verify": "shunt.cli.verify:verify",
    "watch": "shunt.cli.watch:watch",
    "demo": "shunt.cli.demo:demo",
    "lab": "shunt.cli.lab:app",
    "advisor": "shunt.cli.advisor:app",
    "up": "shunt.cli.daemon:up",
    "down": "shunt.cli.daemon:down",
    "status": "shunt.cli.status:status",
    "reload": "shunt.cli.daemon:reload",
    "trace": "shunt.cli.trace:trace",
    "flows": "shunt.cli.flows:flows",
}
for name, target in COMMANDS.items():
    app.command(target, name=name)
app.register_install_completion_command()


def main() -> None:
    """Run a command; print an error as message and hint; leave with its exit code."""
    try:
        code = app(exit_on_error=False, print_error=True, result_action="return_value")
    except CycloptsError:
        sys.exit(2)
    except ShuntError as error:
        print(f"shunt: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("shunt: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)
