import contextlib
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from frieze.core import ImageError
from frieze.embedder.sources.archives.record_frames import find_frames, masked_crc, read_block, read_record_at


def framed(*records):
    """Return the bytes of a file of these records."""
    pieces = []
    for record in records:
        length = len(record).to_bytes(8, "little")
        pieces += [length, masked_crc(length).to_bytes(4, "little"), record, masked_crc(record).to_bytes(4, "little")]
    return b"".join(pieces)


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
def test_checksum_agrees_with_a_plain_loop(data):
    """The checksum of any bytes is that of a loop over their bits."""
    assert masked_crc(data) == plain_loop(data)


def test_checksum_of_the_standard():
    """The checksum of RFC 3720's 32 ascending bytes is the one that it states, masked."""
    crc = 0x46DD794E
    assert masked_crc(bytes(range(32))) == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


@given(
    records=st.lists(st.binary(max_size=40), max_size=6),
    flipped=st.none() | st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)),
    cut=st.floats(0, 1),
)
@settings(max_examples=100, deadline=None)
def test_a_block_is_its_records_one_by_one(records, flipped, cut):
    """A block has the records that are found one by one up to the first that is damaged or cut, and their errors."""
    data = bytearray(framed(*records))
    if flipped and data:
        data[int(flipped[0] * len(data))] ^= flipped[1]
    data = bytes(data[: round(cut * len(data))])
    block, file = read_block(io.BytesIO(data), 0, 30), io.BytesIO(data)
    expected, errors = [], {}
    with contextlib.suppress(ImageError):  # the first that is damaged or cut
        for at, size_bytes in find_frames(file, 0, 0, len(data)):
            expected.append((at, size_bytes))
            try:
                read_record_at(file, at, size_bytes, 30)
            except ImageError as error:
                errors[len(expected) - 1] = str(error)
    assert list(zip(block.starts.tolist(), block.sizes.tolist(), strict=True)) == expected
    assert {row: str(error) for row, error in block.errors.items()} == errors
    assert block.end == (sum(expected[-1]) + 4 if expected else 0)
