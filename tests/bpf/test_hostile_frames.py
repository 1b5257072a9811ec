"""Frames cut at every length, and a million random ones: nothing but what is allowed comes out.

A passed frame keeps every byte; a frame that leaves differs in its MAC addresses only, or is the
right answer to the one that came in; and every frame is counted once.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from shunt.dataplane.kernel import Verdict
from shunt.dataplane.testrun import SHORTEST
from tests.bpf.answers import is_answer
from tests.bpf.cases.tables import CASES
from tests.bpf.segment import BY_MAC, FAR_OWN
from tests.bpf.world import OWN, World

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shunt.dataplane.testrun import Batch

pytestmark = pytest.mark.bpf

FRAMES = int(os.environ.get("SHUNT_FUZZ_FRAMES", "1000000"))
"""How many random frames; a million take some 15 s on a slow core."""
SEED = int(os.environ.get("SHUNT_FUZZ_SEED", "1"))
CHUNK = 50_000
WIDTH = 200
VERDICTS = {
    "passed": (Verdict.PASS,),
    "dropped": (Verdict.DROP,),
    "answered": (Verdict.TX,),
    "forwarded": (Verdict.TX, Verdict.REDIRECT),
}


def is_forwarded(frame: bytes, out: bytes, verdict: int) -> bool:
    """Say whether only the MAC addresses differ, and are those of a server and of the way out."""
    own = FAR_OWN if verdict == Verdict.REDIRECT else OWN
    return (
        out[12:] == frame[12:]
        and out[6:12] == own.octets
        and any(out[:6] == mac.octets for mac in BY_MAC)
    )


def test_cut_at_every_length(segment: World) -> None:
    """The first 200 bytes of every row, for behind them only payload is cut."""
    whole = [case.frame for case in CASES.values()]
    cut = {frame[:length] for frame in whole for length in range(SHORTEST, WIDTH)}
    for frame in sorted(cut):
        sent = segment.send(frame)
        became = sent.cause.split("_")[0]
        context = (frame.hex(), sent)
        assert sent.verdict in VERDICTS[became], context
        if became == "forwarded":
            assert is_forwarded(frame, sent.frame, sent.verdict), context
        elif became == "answered":
            assert is_answer(frame, sent.frame), context
        else:
            assert sent.frame == frame, context


def test_the_whole_answers_are_answers() -> None:
    """The second computation of the answers agrees with scapy's, in every row of the tables."""
    answered = [case for case in CASES.values() if case.cause.startswith("answered")]
    assert len(answered) >= 50
    for case in answered:
        assert is_answer(case.frame, case.out), case.name
        assert not is_answer(case.frame, case.frame), case.name


def test_random_frames(segment: World) -> None:
    random = np.random.default_rng(SEED)
    corpus, sizes = _corpus()
    answers: Counter[Verdict] = Counter()
    for begin in range(0, FRAMES, CHUNK):
        count = min(CHUNK, FRAMES - begin)
        frames, lengths = _mutated(random, corpus, sizes, count)
        batch, causes = segment.send_many(frames, lengths)
        assert sum(causes.values()) == count
        verdicts = Counter(batch.verdicts.tolist())
        assert verdicts.keys() <= {Verdict.DROP, Verdict.PASS, Verdict.TX, Verdict.REDIRECT}
        words: Counter[str] = Counter()
        for cause, number in causes.items():
            words[cause.split("_")[0]] += number
        assert verdicts[Verdict.PASS] == words["passed"]
        assert verdicts[Verdict.DROP] == words["dropped"]
        assert verdicts[Verdict.TX] + verdicts[Verdict.REDIRECT] == (
            words["forwarded"] + words["answered"]
        )
        assert _check(frames, lengths, batch) == words["answered"]
        answers.update(verdicts)
    assert min(answers.values()) > FRAMES / 1000, "too few of a kind to mean anything"


def _corpus() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the frames of all rows, (n, WIDTH), and their lengths."""
    whole = [bytes(made) for case in CASES.values() for made in (*case.before, case.made)]
    frames = list(dict.fromkeys(frame[:WIDTH] for frame in whole))
    rows = b"".join(frame.ljust(WIDTH, b"\0") for frame in frames)
    corpus = np.frombuffer(rows, np.uint8).reshape(len(frames), WIDTH)
    return corpus, np.array([len(frame) for frame in frames])


def _mutated(
    random: np.random.Generator, corpus: NDArray[np.uint8], sizes: NDArray[np.int64], count: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return `count` frames: rows with bytes changed, joined with others, cut, or all noise."""
    places, every = np.arange(WIDTH), np.arange(count)
    first, second = random.integers(len(corpus), size=(2, count))
    frames, lengths = corpus[first].copy(), sizes[first].copy()

    joined = np.flatnonzero(random.random(count) < 0.15)
    joint = random.integers(SHORTEST, WIDTH, len(joined))
    frames[joined] = np.where(places < joint[:, np.newaxis], frames[joined], corpus[second[joined]])
    lengths[joined] = sizes[second[joined]]

    noise = np.flatnonzero(random.random(count) < 0.03)
    frames[noise, SHORTEST:] = random.integers(256, size=(len(noise), WIDTH - SHORTEST))
    lengths[noise] = random.integers(SHORTEST, WIDTH + 1, len(noise))

    telling = np.array([0, 1, 4, 5, 6, 17, 44, 58, 60, 0x45, 0x60, 0x80, 0xFF], np.uint8)
    for chance in (0.5, 0.3, 0.2, 0.2):
        hit = every[random.random(count) < chance]
        place = random.integers(np.where(random.random(len(hit)) < 0.1, 0, 12), lengths[hit])
        value = random.integers(256, size=len(hit), dtype=np.uint8)
        kind = random.random(len(hit))
        value = np.where(kind < 0.4, random.choice(telling, len(hit)), value)
        flipped = frames[hit, place] ^ np.uint8(1) << random.integers(8, size=len(hit)).astype("u1")
        frames[hit, place] = np.where(kind > 0.7, flipped, value)

    cut = np.flatnonzero(random.random(count) < 0.2)
    lengths[cut] = random.integers(SHORTEST, lengths[cut] + 1)
    longer = np.flatnonzero(random.random(count) < 0.05)
    lengths[longer] = random.integers(lengths[longer], WIDTH + 1)
    return frames, lengths


def _check(frames: NDArray[np.uint8], lengths: NDArray[np.int64], batch: Batch) -> int:
    """Check every frame that came out; return how many of them are answers."""
    verdicts, out = batch.verdicts, batch.frames[:, :WIDTH]
    within = np.arange(WIDTH) < lengths[:, np.newaxis]
    same = (frames == out) | ~within
    same_length = batch.lengths == lengths
    passed = verdicts == Verdict.PASS
    assert same_length[passed].all()
    assert same[passed].all(), "a passed frame was changed"
    left = (verdicts == Verdict.TX) | (verdicts == Verdict.REDIRECT)
    only_macs = same_length & same[:, 12:].all(axis=1) & _between(out, verdicts)
    others = np.flatnonzero(left & ~only_macs)
    for row in others.tolist():
        frame = frames[row, : lengths[row]].tobytes()
        answer = batch.frames[row, : batch.lengths[row]].tobytes()
        assert verdicts[row] == Verdict.TX, (frame.hex(), answer.hex())
        assert is_answer(frame, answer), (frame.hex(), answer.hex())
    return len(others)


def _between(out: NDArray[np.uint8], verdicts: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Say of each frame whether it goes to a server, and from the right MAC."""
    own = np.array([list(OWN.octets), list(FAR_OWN.octets)], np.uint8)
    source = own[(verdicts == Verdict.REDIRECT).astype(int)]
    servers = np.array([list(mac.octets) for mac in BY_MAC], np.uint8)
    to_server = (out[:, np.newaxis, :6] == servers).all(axis=2).any(axis=1)
    from_us = (out[:, 6:12] == source).all(axis=1)
    both: NDArray[np.bool_] = to_server & from_us
    return both
