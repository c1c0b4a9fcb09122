import pytest

from frieze.core import FeatureFileError, ImageError, InputError, MismatchError, ModelError


def test_message_then_mend():
    """An error prints what is wrong, then what to type."""
    assert str(InputError("No such folder: fotos", hint="Type: ls")) == "No such folder: fotos\nType: ls"


def test_message_alone():
    """An error without a mend prints its message alone."""
    assert str(InputError("No such folder: fotos")) == "No such folder: fotos"


@pytest.mark.parametrize("kind", [FeatureFileError, MismatchError, ModelError])
def test_children_are_input_errors(kind):
    """Whoever catches InputError catches each of its children, with message and mend."""
    error = kind("wrong", hint="right")
    assert isinstance(error, InputError)
    assert (error.message, error.hint) == ("wrong", "right")


def test_image_error_keeps_stage_and_reason():
    """An image's error carries what failures.parquet stores of it."""
    error = ImageError("decode", "truncated", "12 bytes are missing")
    assert (error.stage, error.reason, str(error)) == ("decode", "truncated", "12 bytes are missing")
