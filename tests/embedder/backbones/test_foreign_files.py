from pathlib import Path

import pytest

from frieze.core import ModelError
from frieze.embedder import BackboneRequest, open_backbone
from frieze.embedder.backbones.foreign_files import advise


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("net.onnx", "onnx2tf -i {folder}/net.onnx -o {folder}/net -osd (from PyPI). Then: --backbone {folder}/net"),
        ("net.pt", "onnx2tf -i {folder}/net.onnx"),
        ("net.PTH", "frieze import VECTORS.npy"),
        ("net.safetensors", "torch.onnx.export"),
        ("net.tflite", "give the SavedModel or .keras file"),
        ("saved_model.pb", "--backbone {folder}"),
        ("net.tar.gz", "mkdir {folder}/net; tar xf {folder}/net.tar.gz -C {folder}/net"),
        ("net.json", "model.save('NAME.keras')"),
    ],
)
def test_the_way_is_named(name, says, tmp_path):
    """A file of another program's is refused with how to come to something that is read here."""
    (tmp_path / name).write_bytes(b"some")
    with pytest.raises(ModelError, match="is no backbone") as caught:
        open_backbone(BackboneRequest(handle=str(tmp_path / name)))
    assert says.format(folder=tmp_path) in caught.value.hint


def test_names_that_say_nothing():
    """A name of no known suffix gets no such advice; a path with a space is quoted."""
    assert advise(Path("mobilenet")) is None
    assert "'my nets/a b.onnx'" in str(advise(Path("my nets/a b.onnx")))
