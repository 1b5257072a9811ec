"""Load on the IPv4 cluster address while a test does something else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from shunt.lab import requests
from tests.dispatcher.scene import FOUR, Scene, eventually

if TYPE_CHECKING:
    from types import TracebackType


class Load:
    """A run of wrk around a block: each request on a connection of its own.

    The block begins when requests are flowing; `result` is there after it.
    """

    def __init__(self, scene: Scene, seconds: int) -> None:
        self._scene, self._seconds = scene, seconds
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        url = requests.url(FOUR)
        self.result = requests.wrk(self._scene.client, url, seconds=self._seconds, connections=16)

    @property
    def is_running(self) -> bool:
        """Return whether requests are still made."""
        return self._thread.is_alive()

    def _opened(self) -> int:
        return sum(row["opened"] for row in self._scene.servers().values())

    def __enter__(self) -> Self:
        before = self._opened()
        self._thread.start()
        eventually(lambda: self._opened() > before + 200, "load is there")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.join()
