"""`shunt up`, `down` and `reload`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from shunt.cli.output import Output

FILE = Path("/etc/shunt/shunt.yaml")
File = Annotated[Path, Parameter(name=["--config", "-c"])]
Root = Annotated[Path | None, Parameter(name="--root")]


def up(
    *,
    config: File = FILE,
    root: Root = None,
    replace: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Dispatch, in the foreground, until ended; traffic flows on after that, until `shunt down`.

    Prints `ready` (and tells systemd) when requests are being forwarded. SIGHUP reloads the file.

    For example: `shunt up -c /etc/shunt/shunt.yaml`

    Args:
        config: the configuration file.
        root: keep run directory, state and pins below this directory; several dispatchers on one
            machine need one each.
        replace: take off another XDP program that an interface carries.
        json: log one JSON document a line.
    """
    import gc

    gc.disable()  # modules are no garbage: looking for some among them takes a tenth of the start
    import asyncio

    from shunt.cli.logs import configure
    from shunt.dispatcher.daemon import Daemon
    from shunt.dispatcher.places import places

    gc.freeze()
    gc.enable()
    configure(json=json)
    asyncio.run(Daemon(config, places(root), replace=replace).run())
    return 0


def down(*, root: Root = None, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Stop dispatching: detach the program, end the daemon, leave no trace.

    Works without a daemon, too. Weights and quiesced servers are kept for the next `shunt up`.

    Args:
        root: as for `shunt up`.
        json: print the result as JSON.
    """
    from shunt.dispatcher.ending import end
    from shunt.dispatcher.places import places

    out = Output(json=json)
    ended = end(places(root))
    out.document({"ended": ended})
    out.text(ended)
    return 0


def reload(*, root: Root = None, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Make the daemon read its file again; a broken file changes nothing, and is said.

    Args:
        root: as for `shunt up`.
        json: print the result as JSON.
    """
    from shunt.dispatcher.control import request
    from shunt.dispatcher.places import places

    out = Output(json=json)
    result = request(places(root).socket, "reload")
    out.document(result)
    out.text(f"reloaded: {result['services']} services; {result['moved']} slots changed hands")
    return 0
