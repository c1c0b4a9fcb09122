"""Data sets of the Hugging Face Hub (hf://) as a pyarrow file system, for reading."""

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

from frieze.core.errors import InputError

SCHEME = "hf://"


def open_hub() -> Any:
    """Return the pyarrow file system of the Hub; `HF_ENDPOINT` and `HF_TOKEN` are read from the environment.

    Raises:
        InputError: `huggingface_hub` is not installed.
    """
    try:
        from huggingface_hub import HfFileSystem
    except ImportError as error:
        hint = "Install it: pip install 'frieze[huggingface]'"
        raise InputError("hf:// places need huggingface_hub.", hint=hint) from error
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    class Handler(FSSpecHandler):  # type: ignore[misc]
        """Raises what the network does as OSError, as buckets do."""

        def get_file_info(self, paths: Any) -> Any:
            with _as_os_errors():
                return super().get_file_info(paths)

        def get_file_info_selector(self, selector: Any) -> Any:
            with _as_os_errors():
                return super().get_file_info_selector(selector)

        def open_input_file(self, path: str) -> Any:
            from pyarrow import PythonFile

            with _as_os_errors():
                return PythonFile(_HubFile(self.fs.open(path, "rb")), mode="r")

        open_input_stream = open_input_file

    return PyFileSystem(Handler(HfFileSystem(endpoint=os.environ.get("HF_ENDPOINT"))))


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, InputError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


class _HubFile(io.RawIOBase):
    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> Any:
        with _as_os_errors():
            return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()
