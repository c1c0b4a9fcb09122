from hypothesis import given, settings
from hypothesis import strategies as st

from frieze.embedder.sources.archives.crc32c import masked_crc


def plain_loop(data):
    """Compute a masked CRC-32C bit by bit, as the standard has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


@given(data=st.binary())
@settings(max_examples=50, deadline=None)
def test_agrees_with_a_plain_loop(data):
    """Whatever the bytes and however many, the checksum is that of a loop over their bits."""
    assert masked_crc(data) == plain_loop(data)


def test_known_value():
    """The checksum of RFC 3720's 32 ascending bytes is the one that it states, masked."""
    crc = 0x46DD794E
    assert masked_crc(bytes(range(32))) == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
