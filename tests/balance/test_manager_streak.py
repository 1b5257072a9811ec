"""Several checks of one server: what they make together is what the rule says of each moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shunt.balance.manager_streak import Streak, after, combined

RESULTS = st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40)


@given(RESULTS, st.booleans(), st.integers(1, 3), st.integers(1, 3))
def test_the_state_and_its_beginning_are_those_of_the_history(
    results: list[tuple[int, bool]], every: bool, fall: int, rise: int
) -> None:
    parts = [Streak() for _ in range(3)]
    up, since = True, 0.0
    for moment, (which, good) in enumerate(results, 1):
        parts[which] = after(parts[which], moment, "x", good=good, fall=fall, rise=rise)
        now = all(part.up for part in parts) if every else any(part.up for part in parts)
        whole = combined(dict(zip("abc", parts, strict=True)), every=every)
        assert whole.up == now
        if now != up:
            up, since = now, float(moment)
            assert whole.since == since
        if not now:
            assert whole.earning == (
                all(part.earning for part in parts if not part.up)
                if every
                else any(part.earning for part in parts)
            )


def test_one_of_each_kind_says_who_it_is() -> None:
    one = Streak(known=True, words="fine", load=3.0, share=0.5)
    two = Streak(known=True, words="slow", load=9.0)
    off = Streak(known=True, up=False, since=4.0, words="broken", load=1.0, share=0.0)
    new = Streak()
    whole = combined({"http": one, "tcp": two}, every=True)
    assert (whole.words, whole.load, whole.share) == ("http: fine; tcp: slow", 3.0, 0.5)
    whole = combined({"http": off, "tcp": two}, every=False)
    assert (whole.words, whole.load, whole.share) == ("http: broken; tcp: slow", 9.0, None)
    assert combined({"http": off, "tcp": two}, every=True).words == "http: broken"
    assert combined({"http": one, "tcp": new}, every=True).known is False
    assert combined({"http": one, "tcp": new}, every=False).known is True
    assert combined({"http": off, "tcp": new}, every=True).known is True
    assert combined({"http": off, "tcp": new}, every=False).known is False
