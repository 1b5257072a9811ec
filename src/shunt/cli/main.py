"""The `shunt` command: every command group by name, loaded when it is used."""

from __future__ import annotations

import sys
import traceback

from cyclopts import App, CycloptsError

from shunt import __version__
from shunt.errors import LoadError, ShuntError

app = App(
    name="shunt",
    version=__version__,
    help=(
        "Layer-4 load balancer for direct server return: dispatches, sets up the servers, "
        "proves it from the wire."
    ),
    help_format="markdown",
    suppress_keyboard_interrupt=False,  # else it leaves without a word
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
    """Run a command; print an error as message and hint; leave with its exit code.

    `--debug` anywhere adds what a bug report needs: the traceback, the verifier's whole log.
    """
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        code = app(arguments, exit_on_error=False, print_error=True, result_action="return_value")
    except CycloptsError:
        sys.exit(2)
    except KeyboardInterrupt:
        print("shunt: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except Exception as error:  # noqa: BLE001 - the last place before the user
        sys.exit(report(error, debug=debug))
    sys.exit(code if isinstance(code, int) else 0)


def report(error: Exception, *, debug: bool) -> int:
    """Print an error for a person and return the exit code."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, LoadError) and debug:
        print(error.log, file=sys.stderr)
    if isinstance(error, ShuntError):
        print(f"shunt: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return error.exit_code
    print(f"shunt: internal error: {type(error).__name__}: {error}", file=sys.stderr)
    print("  this is a bug in Shunt; --debug adds the traceback for a report", file=sys.stderr)
    return 3  # it could not be told; 1 would say that something is to be done
