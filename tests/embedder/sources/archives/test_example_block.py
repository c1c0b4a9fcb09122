import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from frieze.core import ImageError
from frieze.embedder.sources.archives.example import parse
from frieze.embedder.sources.archives.example_block import parse_block

NAMES = st.sampled_from(["a", "b", "größe", "image/encoded"])
VALUES = (st.binary(max_size=300), st.integers(-(2**63), 2**63 - 1), st.floats(width=32, allow_nan=False))


def varint(number):
    """Encode a number as Protobuf does."""
    number %= 2**64
    pieces = []
    while number > 127:
        pieces.append(number % 128 + 128)
        number //= 128
    return bytes([*pieces, number])


def field(tag, content):
    """Encode a field whose length is stated."""
    return bytes([tag]) + varint(len(content)) + content


def encode(features):
    """Encode an Example from the values of each feature."""
    entries = b""
    for name, values in features.items():
        if all(isinstance(value, bytes) for value in values):
            kind = field(0x0A, b"".join(field(0x0A, value) for value in values))
        elif isinstance(values[0], float):
            kind = field(0x12, field(0x0A, np.array(values, "<f4").tobytes()))
        else:
            kind = field(0x1A, field(0x0A, b"".join(map(varint, values))))
        entries += field(0x0A, field(0x0A, name.encode()) + field(0x12, kind))
    return field(0x0A, entries)


def as_parsed(block, data):
    """Return the features of each row of a block as `parse` gives them."""
    return [
        {
            name: [data[one.starts[row] : one.ends[row]]]
            if one.numbers is None
            else one.numbers[row : row + 1].tolist()
            for name, one in block.features.items()
        }
        for row in range(len(block.rows))
    ]


def lists(features):
    """Return the values of features as lists."""
    return {name: values if isinstance(values, list) else values.tolist() for name, values in features.items()}


def parse_all(records):
    """Parse records as one block, with other bytes around them."""
    data = b"##" + b"##".join(records) + b"##"
    sizes = np.array([len(record) for record in records])
    return data, parse_block(data, np.cumsum(sizes + 2) - sizes, sizes)


@given(
    columns=st.dictionaries(NAMES, st.sampled_from(VALUES), min_size=1),
    n=st.integers(1, 5),
    draw=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_agrees_with_protobuf(columns, n, draw):
    """Records of the same features, in any order, are all parsed, and have the values that Protobuf finds."""
    rows = [{name: [draw.draw(values)] for name, values in columns.items()} for _ in range(n)]
    records = [encode(dict(draw.draw(st.permutations(list(row.items()))))) for row in rows]
    data, block = parse_all(records)
    assert block.rows.tolist() == list(range(n))
    assert as_parsed(block, data) == [lists(parse(record).features) for record in records]


@given(records=st.lists(st.binary(max_size=40), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_bytes(records):
    """Of bytes that are no Example nothing is parsed, beside records that are."""
    good = encode({"a": [b"x"], "b": [3]})
    data, block = parse_all([good, good, good, good, good, *records])
    assert block.rows.tolist()[:5] == list(range(5))
    assert as_parsed(block, data)[:5] == [{"a": [b"x"], "b": [3]}] * 5


@given(at=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
@settings(max_examples=100, deadline=None)
def test_a_flipped_byte(at, flipped):
    """A record with a changed byte is left out, or has the values that Protobuf finds in it."""
    good = encode({"a": [b"x" * 5], "b": [3], "c": [0.5]})
    bad = bytearray(good)
    bad[int(at * len(bad))] ^= flipped
    data, block = parse_all([good, bytes(bad), good])
    try:
        expected = lists(parse(bytes(bad)).features)
    except ImageError:
        assert 1 not in block.rows
        return
    by_row = dict(zip(block.rows.tolist(), as_parsed(block, data), strict=True))
    assert repr(by_row.get(1, expected)) == repr(expected)  # as text: a float may be nan


def test_left_out():
    """Records with other features, of another kind, with several values or none, or a feature twice are left out."""
    alike = {"a": [b"x"], "b": [3]}
    others = [{"a": [b"x"]}, {**alike, "c": [1]}, {"a": [3], "b": [3]}, {"a": [b"x", b"y"], "b": [3]}]
    others += [{"a": [], "b": [3]}, {"a": [b"x"], "b": [3, 4]}, {"a": [b"x"], "c": [3]}]
    entry = field(0x0A, field(0x0A, b"a") + field(0x12, field(0x0A, field(0x0A, b"x"))))
    records = [*map(encode, [alike, *others, alike]), field(0x0A, entry + entry), b"", field(0x0A, b"")]
    assert parse_all(records)[1].rows.tolist() == [0, len(others) + 1]
