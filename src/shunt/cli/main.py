"""The `shunt` command: every command group by name, loaded when it is used."""

from __future__ import annotations

import sys

from cyclopts import App, CycloptsError

from shunt import __version__
from shunt.cli.terminal import complain, complain_in_full, show_what_cannot_be_encoded
from shunt.errors import LoadError, ShuntError, refusal

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
# For the list of commands, which loads none of them: what each says of itself first.
LINES = {
    "config": "Check and show the configuration file.",
    "server": "Set up the servers: silence, alias, routes, and what makes it last.",
    "routes": "Find extra routes in a route table and print the commands that delete them.",
    "verify": "Prove from the wire that every server is set up and that nobody else answers.",
    "watch": "Report whoever claims a cluster address, as it happens, until interrupted.",
    "demo": "Show the main job on real traffic, in a laboratory that is removed afterwards.",
    "lab": "Look inside laboratories of network namespaces that stand, and remove them.",
    "advisor": "List advisors, explain their settings, make one check by hand.",
    "up": "Dispatch, in the foreground, until ended; traffic flows on after that.",
    "down": "Stop dispatching: detach the program, end the daemon, leave no trace.",
    "status": "Show clusters, services and servers: weight, share, MAC, packets, rates, reasons.",
    "reload": "Make the daemon read its file again; a broken file changes nothing.",
    "trace": "Say what would become of a packet: service, slot, server, and the reasons.",
    "flows": "List and count the remembered flows.",
}


def build(*, described: bool = False) -> App:
    """Return the command; `described` with a line for each of its commands.

    A line given here would replace the command's own help, so it is given for the list alone.
    """
    made = App(
        name="shunt",
        version=__version__,
        help=(
            "Layer-4 load balancer for direct server return: dispatches, sets up the servers, "
            "proves it from the wire."
        ),
        help_format="markdown",
        suppress_keyboard_interrupt=False,  # else it leaves without a word
    )
    for name, target in COMMANDS.items():
        made.command(target, name=name, help=LINES[name] if described else None)
    made.register_install_completion_command()
    return made


app = build()


def main() -> None:
    """Run a command; print an error as message and hint; leave with its exit code.

    `--debug` anywhere adds what a bug report needs: the traceback, the verifier's whole log. Behind
    `--` it belongs to a command of the user's.
    """
    show_what_cannot_be_encoded()
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    debug = "--debug" in words[:end]
    arguments = [word for word in words[:end] if word != "--debug"] + words[end:]
    listing = not arguments or arguments[0].startswith("-")
    command = build(described=True) if listing else app
    try:
        code = command(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        refuse(error)
        sys.exit(2)
    except KeyboardInterrupt:
        complain("shunt: interrupted")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except Exception as error:  # noqa: BLE001 - the last place before the user
        sys.exit(report(error, debug=debug))
    sys.exit(code if isinstance(code, int) else 0)


def refuse(error: CycloptsError) -> None:
    """Print what is wrong with the command line."""
    from cyclopts import CycloptsPanel

    from shunt.cli.output import console

    console(stderr=True).print(CycloptsPanel(error))


def report(error: Exception, *, debug: bool) -> int:
    """Print an error for a person and return the exit code."""
    if debug:
        complain_in_full(error)
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, OSError | MemoryError):
        error = refusal(error) or error
    if isinstance(error, LoadError) and debug:
        complain(error.log)
    if isinstance(error, ShuntError):
        complain(f"shunt: {error.message}")
        if error.hint:
            complain(f"  {error.hint}")
        return error.exit_code
    complain(f"shunt: internal error: {type(error).__name__}: {error}")
    complain("  this is a bug in Shunt; --debug adds the traceback for a report")
    return 3  # it could not be told; 1 would say that something is to be done
