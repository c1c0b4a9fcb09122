import base64
import json
import shlex
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import open_source

JPEG = b"\xff\xd8\xff\xe0" + np.random.default_rng(0).bytes(5000)
TEXT = base64.b64encode(JPEG).decode()
URL = f"data:image/jpeg;base64,{TEXT}"


def write(folder, name, image):
    """Write a table of one image under a name."""
    path = folder / name
    if name.endswith("parquet"):
        pq.write_table(pa.table({"id": ["007"], "image": [image]}), path)
    elif name.endswith("jsonl"):
        path.write_text(json.dumps({"id": "007", "image": image}))
    else:
        path.write_text(f'id{name[0]}image\n007{name[0]}"{image}"\n')
    return str(path)


@pytest.mark.parametrize(
    ("name", "image"),
    [(",.csv", URL), ("; a.csv", TEXT), ("m.jsonl", TEXT), ("m.parquet", URL)],
    ids=["comma", "semicolon", "jsonl", "parquet"],
)
def test_base64(name, image, tmp_path):
    """A column of base64 is rejected in a short message with a command that converts it to bytes, which works."""
    pytest.importorskip("pandas")
    with pytest.raises(InputError, match=r"The column image of .* holds images as base64 text") as error:
        open_source(write(tmp_path, name, image), SourceOptions())
    assert len(str(error.value)) < 1000
    command = shlex.split(error.value.hint.partition("of bytes: ")[2])
    subprocess.run([sys.executable, *command[1:]], check=True)
    source = open_source(command[-1], SourceOptions())
    assert (source.listing.images["id"].to_pylist(), list(source.read(np.array([0])))) == (["007"], [JPEG])


def test_long_paths(tmp_path):
    """A long path that is no image in base64 is missing as any other, and truncated in the message."""
    path = write(tmp_path, ",.csv", "/".join(["long"] * 1000) + ".jpg")
    with pytest.raises(InputError, match=r"None of the 1 images .*\.\.\.\.") as error:
        open_source(path, SourceOptions())
    assert len(str(error.value)) < 500
