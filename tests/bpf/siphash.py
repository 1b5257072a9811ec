"""SipHash (Aumasson, Bernstein, INDOCRYPT 2012) in plain Python, written from the paper."""

from __future__ import annotations

_WORD = (1 << 64) - 1


def siphash(key: bytes, message: bytes, rounds: tuple[int, int]) -> int:
    """Return SipHash-c-d of the message; `rounds` is (c, d), the key has 16 bytes."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    state = (
        k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573,
    )  # fmt: skip
    whole = len(message) // 8 * 8
    last = message[whole:].ljust(7, b"\0") + bytes([len(message) & 0xFF])
    for at in range(0, whole + 8, 8):
        block = message[at : at + 8] if at < whole else last
        word = int.from_bytes(block, "little")
        state = (*state[:3], state[3] ^ word)
        for _ in range(rounds[0]):
            state = _round(*state)
        state = (state[0] ^ word, *state[1:])
    state = (state[0], state[1], state[2] ^ 0xFF, state[3])
    for _ in range(rounds[1]):
        state = _round(*state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _turned(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & _WORD


def _round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    v0, v2 = (v0 + v1) & _WORD, (v2 + v3) & _WORD
    v1, v3 = _turned(v1, 13) ^ v0, _turned(v3, 16) ^ v2
    v0 = _turned(v0, 32)
    v2, v0 = (v2 + v1) & _WORD, (v0 + v3) & _WORD
    v1, v3 = _turned(v1, 17) ^ v2, _turned(v3, 21) ^ v0
    return v0, v1, _turned(v2, 32), v3
