import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frieze.features import (
    HASHES,
    OURS,
    PART,
    part_schema,
    perceptual_hash_columns,
    to_embeddings,
    to_part,
    user_columns,
)

_FLOATS = st.floats(width=32, allow_nan=False)  # extremes, subnormals, -0.0 and infinities too


def test_columns_in_order(spec):
    """A part has our columns first, in this order, then the user's as they are."""
    schema = part_schema(spec, [pa.field("camera", pa.string())])
    ours = ["id", "uri", "label", "sha256", "size_bytes", "mtime_ns", "width", "height", "embedding"]
    assert schema.names == [*ours, "camera"]


def test_perceptual_hashes(spec):
    """The hashes are nullable uint64 after our other columns and before the user's, where a table has them."""
    schema = part_schema(spec, [pa.field("camera", pa.string())], has_perceptual_hashes=True)
    assert schema.names == [*OURS, *HASHES, "camera"]
    assert [(schema.field(name).type, schema.field(name).nullable) for name in HASHES] == [(pa.uint64(), True)] * 2


def test_perceptual_hashes_of_the_user(spec):
    """A user column that is named like a hash is none of ours, even one that was copied from a table of ours."""
    ours = part_schema(spec, has_perceptual_hashes=True)
    assert perceptual_hash_columns(ours) == [*HASHES]
    assert perceptual_hash_columns(part_schema(spec, [ours.field("phash")])) == []
    assert perceptual_hash_columns(part_schema(spec, [pa.field("phash", pa.uint64())])) == []


@pytest.mark.parametrize("name", [*OURS, PART])
def test_user_columns(name):
    """Columns of the user's are stored under names that are neither ours nor that of another one of the user's."""
    assert user_columns([name, "year"]) == [f"source_{name}", "year"]
    assert user_columns([f"source_{name}", name]) == [f"source_{name}", f"source_source_{name}"]
    assert user_columns([f"source_{name}"]) == [f"source_{name}"]


def test_not_null(spec):
    """Id, uri and embedding are never null, nor is any float of an embedding."""
    schema = part_schema(spec)
    assert [field.name for field in schema if not field.nullable] == ["id", "uri", "embedding"]
    assert not schema.field("embedding").type.value_field.nullable


def test_embedding_has_the_width(spec):
    """The embedding column is a list of exactly D float32."""
    kind = part_schema(spec).field("embedding").type
    assert (kind.list_size, kind.value_type) == (4, pa.float32())


@given(hnp.arrays(np.float32, (3, 4), elements=_FLOATS))
def test_same_bits(spec, embeddings):
    """Embeddings laid out as a part come back with the same bits."""
    columns = dict.fromkeys(part_schema(spec).names, [None] * 3) | {"id": ["a"] * 3, "uri": ["b"] * 3}
    part = to_part(columns, embeddings, part_schema(spec))
    assert to_embeddings(part["embedding"]).tobytes() == embeddings.tobytes()


def test_embeddings_without_a_copy(rows, images):
    """A column that lies in one piece is viewed, not copied."""
    vectors = rows(images(("a", 1, 1), ("b", 2, 2)))["embedding"].chunk(0)
    floats = to_embeddings(vectors)
    assert floats.__array_interface__["data"][0] == vectors.values.buffers()[1].address


def test_embeddings_of_a_slice(rows, images):
    """A slice of a column gives the rows of the slice."""
    vectors = rows(images(("a", 1, 1), ("b", 2, 2)))["embedding"]
    assert to_embeddings(vectors.slice(1)).tolist() == [[1, 98, 2, 2]]


def test_other_width_refused(spec):
    """Embeddings of another width are no rows of this part."""
    columns = dict.fromkeys(part_schema(spec).names, ["1"] * 4)
    with pytest.raises(pa.ArrowInvalid):
        to_part(columns, np.zeros((4, 3), np.float32), part_schema(spec))
