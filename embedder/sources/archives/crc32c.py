"""The checksum of TFRecord files: CRC-32C, as Castagnoli's polynomial is called, masked."""

import functools

import numpy as np
import numpy.typing as npt

_POLYNOMIAL = 0x82F63B78
_ALL_BITS = 0xFFFFFFFF

_FEW_BYTES = 256
"""So many bytes one after the other are quicker than all at once."""
_PIECE_BYTES = 1 << 16
"""So many are taken at once: each costs a dozen bytes of memory."""
_BLOCK_WORDS = 64

_Words = npt.NDArray[np.uint32]


def masked_crc(data: bytes) -> int:
    """Give the masked CRC-32C of some bytes.

    Source: tensorflow/core/lib/hash/crc32c.h (the mask).

    >>> hex(masked_crc(b"123456789"))
    '0xc78ab0e5'
    """
    crc = _ALL_BITS
    for start in range(0, len(data), _PIECE_BYTES):
        piece = data[start : start + _PIECE_BYTES]
        crc = _add_few(crc, piece) if len(piece) < _FEW_BYTES else _add_many(crc, piece)
    crc ^= _ALL_BITS
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & _ALL_BITS


def _add_few(crc: int, data: bytes) -> int:
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def _add_many(crc: int, data: bytes) -> int:
    """Add bytes block by block: a CRC is the sum of what each byte makes of it, given how many words follow it."""
    block_bytes = 4 * _BLOCK_WORDS
    values = np.frombuffer((int.from_bytes(data[:4], "little") ^ crc).to_bytes(4, "little") + data[4:], np.uint8)
    level = 0
    while True:
        blocks = np.concatenate([np.zeros(-len(values) % block_bytes, np.uint8), values]).reshape(-1, block_bytes)
        at = blocks + np.arange(0, 256 * block_bytes, 256)
        words = np.bitwise_xor.reduce(np.take(_parts(level), at), axis=1).astype("<u4")
        if len(words) == 1:
            return int(_add_zeros(words)[0])
        values, level = words.view(np.uint8), level + 1


@functools.cache
def _parts(level: int) -> _Words:
    """Give what each byte of a block adds to it: uint32 [words, bytes of a word, values of a byte].

    Args:
        level: The block's words are bytes at 0, blocks at 1, blocks of blocks at 2.
    """
    parts = [np.arange(256, dtype=np.uint32) << np.arange(0, 32, 8, dtype=np.uint32)[:, None]]
    while len(parts) < _BLOCK_WORDS:
        parts.append(_add_blocks(parts[-1], level))
    return np.stack(parts[::-1])


def _add_blocks(crcs: _Words, level: int) -> _Words:
    """Give what becomes of CRCs when zeros follow: one word at level 0, one block of words at 1."""
    if level == 0:
        return _add_zeros(crcs)
    first, *_, before_last, _ = _parts(level - 1)
    return _sum(before_last, _sum(first, crcs))  # all words but one, and that one


def _sum(parts: _Words, crcs: _Words) -> _Words:
    total: _Words = functools.reduce(np.bitwise_xor, (parts[at][crcs >> 8 * at & 0xFF] for at in range(4)))
    return total


def _add_zeros(crcs: _Words) -> _Words:
    """Add a word of zeros."""
    of_byte = np.array(_CRC, np.uint32)
    for _ in range(4):
        crcs = of_byte[crcs & 0xFF] ^ (crcs >> 8)
    return crcs


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_CRC = [_crc_of(byte) for byte in range(256)]
