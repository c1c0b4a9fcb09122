"""A calibrated graph in int8 as one file: the OpenVINO IR, in a ZIP archive without compression."""

import io
import zipfile
from pathlib import Path
from typing import Any

from frieze.core import FeatureFileError, import_openvino, locked_temporary_folder

_MODEL, _WEIGHTS = "model.xml", "model.bin"


def pack_graph(model: Any) -> bytes:
    """Return the bytes of an OpenVINO model; the same model gives the same bytes."""
    openvino = import_openvino()

    with locked_temporary_folder() as folder:
        openvino.save_model(model, folder / _MODEL, compress_to_fp16=False)
        return _zip(folder)


def _zip(folder: Path) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        for name in (_MODEL, _WEIGHTS):
            files.writestr(zipfile.ZipInfo(name), (folder / name).read_bytes())  # with a fixed date
    return archive.getvalue()


def unpack_graph(data: bytes) -> Any:
    """Return the OpenVINO model of `pack_graph`'s bytes.

    Raises:
        FeatureFileError: They are not such a file.
    """
    openvino = import_openvino()

    try:
        return openvino.Core().read_model(*_unzip(data))
    except (zipfile.BadZipFile, KeyError, RuntimeError) as error:
        raise FeatureFileError(
            "The table's graph in int8 can't be read.", hint="Start again with `force=True`."
        ) from error


def _unzip(data: bytes) -> tuple[bytes, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as files:
        if sum(file.file_size for file in files.infolist()) > len(data):  # compressed, by somebody else, to any size
            raise zipfile.BadZipFile("compressed")
        return files.read(_MODEL), files.read(_WEIGHTS)
