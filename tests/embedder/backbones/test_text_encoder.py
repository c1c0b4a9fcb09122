import numpy as np
import pytest

from frieze.core import InputError
from frieze.embedder import TextEncoder

VECTORS = {"red": [3.0, 0.0], "bird": [0.0, 0.5], "a red bird": [1.0, 1.0], "the red": [2.0, 2.0]}


def encode(texts):
    """Return the vector of each text."""
    return np.array([VECTORS[text] for text in texts], np.float32)


ENCODER = TextEncoder(encode, "f", 100.0)


@pytest.mark.parametrize(
    ("query", "direction"),
    [
        ("text:red", [1, 0]),
        ("text: red |bird", [1, 1]),  # of equal weight, whatever their length
        ("text:a red bird|-red", [2**-0.5 - 1, 2**-0.5]),
        ("text:red| |-", [1, 0]),
    ],
)
def test_prompts(query, direction):
    """Prompts are averaged as unit vectors, those after `-` subtracted, and the query has unit length."""
    expected = np.array(direction) / np.linalg.norm(direction)
    assert ENCODER.query_vector(query) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("query", ["text:", "text: | ", "text:-red"])
def test_nothing_to_look_for(query):
    """A query without a prompt to look for is refused, with one to type."""
    with pytest.raises(InputError, match="has no words to look for") as caught:
        ENCODER.query_vector(query)
    assert "'text:a red bird'" in caught.value.hint


def test_classes():
    """A class is the mean of its templates as unit vectors, of unit length; the name stands for {}."""
    (red,) = ENCODER.class_vectors(["red"], ["{}", "the {}"])
    expected = np.array([1 + 2**-0.5, 2**-0.5])
    assert red == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
