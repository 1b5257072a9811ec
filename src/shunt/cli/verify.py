"""`shunt verify`: prove from another machine of the segment that the servers are set up."""

from __future__ import annotations

import asyncio
import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shunt.cli.output import Output
from shunt.cli.terminal import complain
from shunt.errors import NetworkError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address, Mac
    from shunt.verify.examine import Report
    from shunt.verify.phase import Phase
    from shunt.verify.subject import Subject
    from shunt.verify.transcript import Transcript

DEFAULT = Path("/etc/shunt/shunt.yaml")
_WIDE = 160  # columns where no terminal sets a limit
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]


def verify(  # noqa: PLR0913 - each is an option of the command
    *clusters: str,
    config: Annotated[Path | None, Parameter(name=("-c", "--config"))] = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    server: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    port: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    live: Flag = False,
    dispatcher: str | None = None,
    borrow: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    mac: str | None = None,
    rate: float = 200,
    listen: float = 4.5,
    requests: bool = True,
    only_wrong: Flag = False,
    quiet: Annotated[bool, Parameter(name=("-q", "--quiet"), negative=())] = False,
    explain: Flag = False,
    pcap: Path | None = None,
    json: Flag = False,
) -> int:
    """Prove from the wire that every server is set up and that nobody else answers.

    Run it on another machine of the servers' segment, while no dispatcher runs, or with --live
    while one does. It sends and reads raw frames as a machine of its own, with an address that
    it borrows, and leaves this machine's network settings alone.

    Leaves with 0 if all is right, 1 if something is wrong, 3 if something could not be told.

    For example: `shunt verify -c shunt.yaml`, or `shunt verify web -c shunt.yaml --live`, or
    `shunt verify 192.0.2.10 --server a=192.0.2.21 --server b=192.0.2.22 --port 80`

    Args:
        clusters: Names or addresses of the clusters to examine; without any, all of the file.
        config: The configuration file; /etc/shunt/shunt.yaml unless servers are named.
        from_: The interface on the servers' segment; found by its network if not named.
        server: A server as NAME=ADDRESS[,ADDRESS], instead of a configuration file.
        port: A port to try, as 80, 53/udp, 8080/http or 9443/https.
        live: A dispatcher runs: it must answer, and everybody else must not.
        dispatcher: The dispatcher's MAC; implies --live. Found if not given.
        borrow: An unused address of the segment to send from; found if not given.
        mac: The MAC to send from, or "own" for the interface's; made up if not given.
        rate: Frames a second at most.
        listen: For how many seconds late answers are waited for, at least.
        only_wrong: Leave out what is right.
        quiet: Print a line for each thing that is not right, and nothing where all is.
        requests: Make real requests to the applications, with a TCP stack of its own.
        explain: Walk through the procedure with what was sent and heard, and show every check.
        pcap: Keep every frame sent and heard in this file.
        json: Print one JSON document.
    """
    from shunt.dispatcher.places import places
    from shunt.verify import report as rendering
    from shunt.verify.examine import Manner, examine
    from shunt.verify.transcript import Transcript

    out = Output(json=json)
    if not 0 < rate < math.inf:
        raise UsageError("--rate must be a number above 0")
    if not 0 < listen < math.inf:
        raise UsageError("--listen must be a number of seconds above 0")
    subject, left_out = _subject(clusters, config, server, port, live, dispatcher)
    own_mac, control = _own_mac(mac, from_), places().socket
    manner = Manner(from_, rate, _borrowed(borrow), own_mac, requests, listen, control)
    transcript = Transcript()
    with _kept(pcap, transcript), out.err.status("looking for the servers") as status:

        def progress(phase: Phase) -> None:
            status.update(phase.title)

        try:
            report: Report = asyncio.run(examine(subject, manner, progress, transcript))
        except NetworkError as error:  # nothing was found wrong, and nothing can be called right
            out.err.print(f"shunt: cannot tell: {error.message}", markup=False)
            if error.hint:
                out.err.print(f"  {error.hint}", markup=False)
            out.document({"exit_code": 3, "error": error.message})
            return 3
    out.document(rendering.as_json(report))
    left_out += report.left_out
    _show(out, report, left_out, explain=explain, only_wrong=only_wrong, quiet=quiet)
    return report.exit_code


def _subject(
    clusters: tuple[str, ...],
    config: Path | None,
    server: tuple[str, ...],
    port: tuple[str, ...],
    live: bool,  # noqa: FBT001
    dispatcher: str | None,
) -> tuple[Subject, tuple[str, ...]]:
    """Return what is to be examined, and in words what is left out."""
    from shunt.verify.selection import from_config, from_words

    router = None if dispatcher is None else _mac(dispatcher)
    live = live or router is not None
    if server or (config is None and not DEFAULT.exists()):
        return from_words(clusters, server, port, live=live, dispatcher=router), ()
    from shunt.config import load

    loaded = load(config or DEFAULT)
    return from_config(loaded, clusters, live=live, dispatcher=router)


def _show(
    out: Output,
    report: Report,
    left_out: tuple[str, ...],
    *,
    explain: bool,
    only_wrong: bool,
    quiet: bool,
) -> None:
    """Print the report for people; `quiet` says what is not right, and nothing else."""
    from shunt.verify import report as rendering

    if quiet:
        for text in rendering.brief(report):
            out.text(text)
        return
    if explain:
        for text in rendering.explanation(report):
            out.console.print(text)
    if not out.console.is_terminal:
        out.console.width = _WIDE
    drawn = rendering.table(report, only_wrong=only_wrong, every=explain)
    if drawn.rows:
        out.console.print(drawn)
        out.console.print()
    for text in rendering.troubles(report):
        out.console.print(text)
    for text in left_out:
        out.warn(f"left out: {text}")
    out.text(rendering.summary(report))


@contextlib.contextmanager
def _kept(path: Path | None, transcript: Transcript) -> Iterator[None]:
    """Keep what was sent and heard in a file, however the block ends.

    Raises:
        UsageError: the file cannot be written; said before anything is sent.
    """
    from shunt.verify.pcap import capture

    if path is None:
        yield
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise UsageError(f"--pcap {path}: {error.strerror}") from error
    with file:
        try:
            yield
        finally:
            try:
                file.write(capture(transcript.events))
                file.flush()
            except OSError as error:  # the report is worth more than this
                complain(f"shunt: --pcap {path} is not whole: {error.strerror}")


def _mac(word: str) -> Mac:
    from shunt.model.addresses import Mac

    try:
        return Mac.parse(word)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _own_mac(word: str | None, interface: str | None) -> Mac | None:
    if word is None:
        return None
    if word != "own":
        found = _mac(word)
        if found.octets[0] & 1 or not any(found.octets):
            raise UsageError(f"--mac {found}: that is no machine's MAC")
        return found
    from shunt.network.links import find

    if interface is None:
        raise UsageError("--mac own needs the interface", hint="Name it with --from.")
    return find(interface).mac


def _borrowed(words: tuple[str, ...]) -> tuple[Address, ...]:
    from ipaddress import ip_address

    try:
        return tuple(ip_address(word) for word in words)
    except ValueError as error:
        raise UsageError(str(error)) from None
