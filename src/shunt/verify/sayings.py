"""Who said what, in words: the subject of a claim, and its speaker where that is another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.verify.vendors import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shunt.verify.claims import Claim
    from shunt.verify.reading import Reading
    from shunt.verify.transcript import Voiced


def said(claim: Claim) -> str:
    """Return what was claimed, in which kind of frame, and who sent it if it was not the one named.

    That tells a published entry from a machine that speaks for itself.
    """
    words = f"{claim.how}: {claim.address} is at {describe(claim.mac)}"
    if claim.how.intends:
        words = f"{claim.how}: {describe(claim.mac)} asks whether {claim.address} is free"
    return words if claim.speaker is None else f"{words}, said by {describe(claim.speaker)}"


def heard(reading: Reading, voices: Sequence[Voiced]) -> tuple[str, ...]:
    """Return, as evidence, the first of the claims, how late it came, and how often."""
    first = voices[0]
    after = "" if first.delay is None else f", {first.delay * 1000:.0f} ms after the question"
    count = max(reading.transcript.times(first.claim), len(voices))
    times = f", {count} times" if count > 1 else ""
    return (f"{said(first.claim)}{after}{times}",)
