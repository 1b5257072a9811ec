"""Many servers: what goes wrong with one, whatever it is, stays with that one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.errors import RemoteError
from shunt.model.config import Server
from shunt.servers.fleet import each
from shunt.servers.runners.base import Access
from shunt.servers.wish import Wish

if TYPE_CHECKING:
    from shunt.servers.runners.base import Runner


async def test_an_error_of_our_own_is_the_outcome_of_its_server() -> None:
    async def job(_: Runner, wish: Wish) -> str:
        if wish.server.name == "b":
            raise KeyError("surprise")
        return wish.server.name

    wishes = [Wish(Server(name, (), via="local"), ()) for name in ("a", "b", "c")]
    told: list[str] = []
    outcomes = await each(
        wishes, job, Access(), at_once=1, finished=lambda outcome: told.append(outcome.server)
    )
    assert [outcome.value for outcome in outcomes] == ["a", None, "c"]
    assert told == ["a", "b", "c"]
    error = outcomes[1].error
    assert isinstance(error, RemoteError)
    assert error.message == "internal error: KeyError: 'surprise'"
    assert isinstance(error.__cause__, KeyError)
