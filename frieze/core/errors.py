"""The only error classes of the project.

InputError              what the user can fix; exit code 1
|-- ImageError          one unusable image; counted and listed, it does not end a run
|-- FeatureFileError    a stored table, index or head that is missing, broken or in use
|-- ModelError          a backbone that can't be found, loaded or understood
`-- MismatchError       two things that do not belong together (backbones, widths, classes)
"""

import contextlib
from collections.abc import Iterator
from typing import Any

OUT_OF_MEMORY = "out of memory"
"""Reason of a temporary failure, which is no property of the image."""


class InputError(Exception):
    """Something the user can fix.

    Args:
        message: What is wrong, with the actual and the expected values.
        hint: What to type or change.

    >>> print(InputError("No such folder: fotos", hint="Check the path: ls fotos"))
    No such folder: fotos
    Check the path: ls fotos
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (type(self), self.args), self.__dict__


def _unpickle(kind: type[InputError], args: tuple[str, ...]) -> InputError:
    """Create an error that another process pickled; the arguments of a subclass are in its state."""
    return kind.__new__(kind, *args)


class ImageError(InputError):
    """One image that can't be used.

    Args:
        stage: Where it failed: `list`, `read`, `decode` or `embed`.
        reason: A word or two that can be counted, such as `truncated`.
        message: The details.
    """

    def __init__(self, stage: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage
        self.reason = reason


class FeatureFileError(InputError):
    """A stored table, index or head that is missing, broken or in use."""


class ModelError(InputError):
    """A backbone that can't be found, loaded or understood."""


class MismatchError(InputError):
    """Two things that do not belong together: other backbones, widths or classes."""


@contextlib.contextmanager
def translate_errors(
    message: str,
    *,
    hint: str,
    kind: type[InputError] = FeatureFileError,
    errors: tuple[type[Exception], ...] = (OSError,),
) -> Iterator[None]:
    """Translate the errors of a library into one `InputError`, "MESSAGE: ERROR.".

    Raises:
        InputError: The block raised one of `errors`; Arrow's lack of memory is not translated unless it is named.
    """
    try:
        yield
    except errors as error:
        if isinstance(error, MemoryError) and not any(issubclass(one, MemoryError) for one in errors):
            raise
        raise kind(f"{message}: {error}.", hint=hint) from error
