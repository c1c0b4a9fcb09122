import pytest

from frieze.core import FeatureFileError, ImageError, InputError, MismatchError, ModelError, translate_errors


def test_message_then_hint():
    """An error prints what is wrong, then what to type."""
    assert str(InputError("No such folder: fotos", hint="Type: ls")) == "No such folder: fotos\nType: ls"


def test_message_alone():
    """An error without a hint prints its message alone."""
    assert str(InputError("No such folder: fotos")) == "No such folder: fotos"


@pytest.mark.parametrize("kind", [FeatureFileError, MismatchError, ModelError])
def test_children_are_input_errors(kind):
    """Whoever catches InputError catches each of its children, with message and hint."""
    error = kind("wrong", hint="right")
    assert isinstance(error, InputError)
    assert (error.message, error.hint) == ("wrong", "right")


def test_image_error_keeps_stage_and_reason():
    """An image's error carries what failures.parquet stores of it."""
    error = ImageError("decode", "truncated", "12 bytes are missing")
    assert (error.stage, error.reason, str(error)) == ("decode", "truncated", "12 bytes are missing")


class _NoMemoryError(OSError, MemoryError):
    """An error that is both, as Arrow has one."""


def test_translate_errors():
    """A library's error becomes ours with a hint; other errors, and lack of memory, stay as they are."""
    with (
        pytest.raises(FeatureFileError, match=r"a\.parquet is broken: 7 bytes\.\nDelete it\."),
        translate_errors("a.parquet is broken", hint="Delete it."),
    ):
        raise OSError("7 bytes")
    for error in (KeyError("x"), _NoMemoryError("no room")):
        with pytest.raises(type(error)), translate_errors("a.parquet is broken", hint=""):
            raise error
    with pytest.raises(InputError), translate_errors("x", hint="", errors=(OSError, MemoryError)):
        raise _NoMemoryError("no room")
