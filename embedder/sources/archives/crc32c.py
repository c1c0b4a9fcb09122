"""The checksum of TFRecord files: CRC-32C (Castagnoli), masked."""

import google_crc32c

_ALL_BITS = 0xFFFFFFFF


def masked_crc(data: bytes) -> int:
    """Compute the masked CRC-32C of some bytes.

    Source: tensorflow/core/lib/hash/crc32c.h (the mask).

    >>> hex(masked_crc(b"123456789"))
    '0xc78ab0e5'
    """
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & _ALL_BITS
