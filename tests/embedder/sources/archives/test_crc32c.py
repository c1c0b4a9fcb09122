import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frieze.embedder.sources.archives import crc32c as checksums
from frieze.embedder.sources.archives.crc32c import masked_crc


def plain_loop(data):
    """Give a masked CRC-32C bit by bit, as the standard has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


@given(start=st.binary(), n_bytes=st.integers(0, 20_000), end=st.binary(), piece=st.sampled_from([256, 700, 1 << 18]))
@settings(max_examples=50, deadline=None)
def test_agrees_with_a_plain_loop(start, n_bytes, end, piece):
    """Whatever the bytes and however many, the checksum is that of a loop over their bits."""
    data = start + bytes(n_bytes) + end
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checksums, "_PIECE_BYTES", piece)
        assert masked_crc(data) == plain_loop(data)


def test_known_value():
    """The checksum of RFC 3720's 32 ascending bytes is the one that it states, masked."""
    crc = 0x46DD794E
    assert masked_crc(bytes(range(32))) == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
