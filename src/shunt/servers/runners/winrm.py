"""The runner of a Windows server that is reached by WinRM over HTTPS, its certificate checked."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from shunt.errors import HostError, RemoteError, StillRunningError
from shunt.servers.powershell import strict
from shunt.servers.runners.conversation import MAX_OUTPUT, Budget, TooMuchOutputError
from shunt.servers.steps import Command, Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from shunt.model.via import Endpoint
    from shunt.servers.runners.base import Access

_MAX_ON_THE_WIRE = 4 * MAX_OUTPUT  # output in XML, in base64, in XML


class WinRmRunner:
    """Executes PowerShell statements in one runspace.

    The library is synchronous: a thread of this runner's own waits. One of asyncio's few would
    have it queue behind other servers, and be taken for one that does not answer.
    """

    def __init__(self, there: Endpoint, access: Access) -> None:
        self._there = there
        self._access = access
        self._pool: Any = None
        self._budget = Budget(_MAX_ON_THE_WIRE)
        self._one_at_a_time = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "winrm")

    async def __aenter__(self) -> Self:
        try:
            self._pool = await self._in_thread(self._open, self._access.connect_timeout)
        except BaseException:
            self._thread.shutdown(wait=False, cancel_futures=True)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Behind a statement that was given up, the closing waits for its turn; nobody waits for it.
        closing = self._thread.submit(self._pool.close)
        self._thread.shutdown(wait=False)
        if not isinstance(error, StillRunningError):
            await asyncio.wrap_future(closing)

    @property
    def timeout(self) -> float:
        """Return the seconds that one command may take."""
        return self._access.timeout

    async def run(self, command: Command) -> Output:
        """Return what the command gave back; see `Runner`."""
        async with self._one_at_a_time:
            try:
                output: Output = await self._in_thread(
                    lambda: self._invoke(command), self._access.timeout
                )
            except RemoteError as error:
                # There is no way to see that the other side has ended it.
                raise StillRunningError(error.message, hint=error.hint) from error
            return output

    async def _in_thread(self, job: Any, seconds: float) -> Any:  # pypsrp has no types
        from requests import RequestException

        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._thread, job)
        except TimeoutError as error:
            raise RemoteError(
                f"{self._there} does not answer within {seconds:g} seconds",
                hint="is WinRM on (winrm quickconfig -transport:https), and port 5986 open?",
            ) from error
        except TooMuchOutputError as error:
            raise RemoteError(
                f"{self._there} answered with more than {_MAX_ON_THE_WIRE >> 20} MiB"
                " and was given up",
                hint="see whether that is a Windows server: its answers should be a few lines",
            ) from error
        except RequestException as error:
            hint = None
            if "certificate" in str(error).lower():
                hint = "give the server a certificate of a known authority, or name it with --ca"
            raise RemoteError(f"{self._there} cannot be reached: {error}", hint=hint) from error

    def _open(self) -> Any:  # pypsrp has no types
        try:
            from pypsrp.powershell import RunspacePool
            from pypsrp.wsman import WSMan
        except ImportError as error:
            raise HostError(
                "WinRM needs the package pypsrp", hint="pip install 'shunt[winrm]'"
            ) from error
        from pypsrp.exceptions import AuthenticationError, WinRMError

        connection: Any = WSMan(
            self._there.host,
            port=self._there.port,
            username=self._there.user,
            password=self._access.password,
            ssl=True,
            cert_validation=str(self._access.ca) if self._access.ca else True,
            connection_timeout=int(self._access.connect_timeout),
            # The read must outlast the server's own wait for output.
            operation_timeout=int(self._access.timeout),
            read_timeout=int(self._access.timeout) + 5,
            reconnection_retries=0,
        )
        # It makes its session with the first request; there is no other way to limit what is read.
        session = connection.transport._build_session()  # noqa: SLF001
        for prefix, adapter in session.adapters.items():
            session.adapters[prefix] = _Bounded(adapter, self._budget)
        connection.transport.session = session
        pool = RunspacePool(connection)
        try:
            pool.open()
        except (AuthenticationError, WinRMError) as error:
            raise RemoteError(f"{self._there}: {error}") from error
        return pool

    def _invoke(self, command: Command) -> Output:
        from pypsrp.exceptions import WinRMError
        from pypsrp.powershell import PowerShell

        self._budget.left = _MAX_ON_THE_WIRE
        shell = PowerShell(self._pool)
        shell.add_script(strict(command))
        shell.add_cmdlet("Out-String").add_parameter("Stream")
        try:
            lines = shell.invoke()
        except WinRMError as error:
            return Output("", str(error), 1)
        errors = "\n".join(str(record) for record in shell.streams.error)
        return Output("\n".join(map(str, lines)), errors, 1 if shell.had_errors else 0)


class _Bounded:
    """An adapter of requests whose answers are counted while they are read."""

    def __init__(self, inner: Any, budget: Budget) -> None:
        self._inner = inner
        self._budget = budget

    def send(self, request: Any, **how: Any) -> Any:
        """Return the answer, its body not read yet."""
        response = self._inner.send(request, **how | {"stream": True})
        response.connection = self  # authentication sends its next request by this
        # Not another object in its place: authentication looks for the certificate behind this one.
        response.raw.stream = self._counted(response.raw, response.raw.stream)
        return response

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def _counted(self, raw: Any, stream: Callable[..., Iterator[bytes]]) -> Any:
        def counted(*size: int, **how: Any) -> Iterator[bytes]:
            for piece in stream(*size, **how):
                try:
                    self._budget.take(piece)
                except TooMuchOutputError:
                    raw.close()
                    raise
                yield piece

        return counted
