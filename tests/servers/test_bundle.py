"""Several commands as one: what each of them would have given alone comes back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.errors import RemoteError
from shunt.servers.bundle import run_all, script, split
from shunt.servers.runners.local import LocalRunner
from shunt.servers.steps import Command, Output

TEXTS = st.text(st.characters(exclude_characters="\0\r", codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 120)), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
async def test_outputs_are_those_of_the_commands_alone(
    wanted: list[tuple[str, str, int]],
) -> None:
    commands = [
        Command(("sh", "-c", 'cat; printf %s "$1" >&2; exit "$2"', "sh", err, str(status)), out)
        for out, err, status in wanted
    ]
    async with LocalRunner() as runner:
        outputs = await run_all(runner, commands)
    assert outputs == tuple(Output(*each) for each in wanted)


async def test_commands_do_not_eat_the_script() -> None:
    async with LocalRunner() as runner:
        outputs = await run_all(runner, [Command(("cat",)), Command(("echo", "after"))])
    assert [output.stdout for output in outputs] == ["", "after\n"]


async def test_nothing_is_started_after_a_failure() -> None:
    commands = [Command(("true",)), Command.sh("exit 4", ok=(0, 4)), Command(("false",))]
    async with LocalRunner() as runner:
        outputs = await run_all(runner, [*commands, Command(("echo", "no"))], stop=True)
    assert [output.status for output in outputs] == [0, 4, 1]


@pytest.mark.parametrize("stop", [True, False])
async def test_every_cut_is_noticed(*, stop: bool) -> None:
    commands = [Command(("echo", "a")), Command(("echo", "b"))]
    async with LocalRunner() as runner:
        whole = await runner.run(Command(("sh", "-s"), script(commands, "w", stop=stop)))
    assert len(split(whole, "w", 2, stop=stop)) == 2
    for length in range(len(whole.stdout)):
        part = Output(whole.stdout[:length], whole.stderr)
        with pytest.raises(RemoteError, match="cut off"):
            split(part, "w", 2, stop=stop)


async def test_a_shell_that_is_not_there_is_an_error() -> None:
    with pytest.raises(RemoteError, match="no such shell"):
        split(Output("", "no such shell", 127), "w", 1, stop=False)
