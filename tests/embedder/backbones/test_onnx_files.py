import shutil

import pytest

from frieze.core import ModelError
from frieze.embedder import BackboneRequest, open_backbone
from frieze.embedder.backbones import fingerprint_of_files
from frieze.embedder.backbones.onnx_files import external_files, hash_model

onnx = pytest.importorskip("onnx")


@pytest.fixture
def external(onnx_network, tmp_path):
    """A model whose weights are in a file beside it."""
    path = tmp_path / "model.onnx"
    model = onnx.load(onnx_network("maps"))
    onnx.save_model(model, path, save_as_external_data=True, location="model.onnx_data", size_threshold=0)
    return path


def rename_external(path, name):
    """Let a model name another file of weights."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = name
    path.write_bytes(model.SerializeToString())


def test_external_files(external, onnx_network):
    """The files of weights are found, each once; a model that holds its weights has none."""
    assert external_files(external) == [external.with_name("model.onnx_data")]
    assert external_files(onnx_network("maps")) == []


def test_in_attributes(tmp_path):
    """Files of tensors inside of nodes, of branches and of functions are found."""
    helper = onnx.helper

    def tensor(name):
        one = onnx.TensorProto(name=name, data_type=1, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
        one.external_data.add(key="location", value=name)
        return one

    def constant(name):
        return helper.make_node("Constant", [], [name], value=tensor(name))

    branch = helper.make_graph([constant("branch")], "branch", [], [])
    nodes = [constant("node"), helper.make_node("If", ["x"], ["y"], then_branch=branch)]
    function = helper.make_function("own", "F", [], ["f"], [constant("function")], [helper.make_opsetid("", 17)])
    model = helper.make_model(helper.make_graph(nodes, "graph", [], [], [tensor("weights")]), functions=[function])
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    names = [path.name for path in external_files(tmp_path / "model.onnx")]
    assert names == ["branch", "function", "node", "weights"]


@pytest.mark.parametrize("changed", ["model.onnx", "model.onnx_data"])
def test_hash_covers_all_files(changed, external):
    """A changed file is another network, be it the model's or that of its weights."""
    before = hash_model(external)
    with external.with_name(changed).open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    assert fingerprint_of_files(BackboneRequest(handle=str(external))) not in (None, before)


@pytest.mark.usefixtures("needs_openvino")
def test_same_vectors(external, onnx_network):
    """The fingerprint in the spec is that of the files; weights in a file of their own are read."""
    spec = open_backbone(BackboneRequest(handle=str(external), pixels="0..1")).spec
    assert spec.fingerprint == hash_model(external) != hash_model(onnx_network("maps"))


@pytest.mark.parametrize("name", ["../weights.bin", "/etc/hostname", "a/../../b", "..\\weights.bin", "C:\\b", ""])
def test_outside_of_the_folder(name, external):
    """A model that names a file outside of its own folder is refused before anything of it is read."""
    rename_external(external, name)
    with pytest.raises(ModelError, match="names a file of weights outside of its own folder"):
        open_backbone(BackboneRequest(handle=str(external), pixels="0..1"))


def test_missing_weights(external):
    """A missing file of weights is named."""
    external.with_name("model.onnx_data").unlink()
    with pytest.raises(ModelError, match=r"keeps its weights in model\.onnx_data, which is not beside it"):
        hash_model(external)


def test_a_link_is_followed(external, tmp_path):
    """Weights may be a link to a file elsewhere, as in a hub's cache."""
    blob = tmp_path / "blobs" / "1"
    blob.parent.mkdir()
    before = hash_model(external)
    shutil.move(external.with_name("model.onnx_data"), blob)
    external.with_name("model.onnx_data").symlink_to(blob)
    assert hash_model(external) == before


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"", lambda _: b"some text " * 9])
def test_damaged(damage, onnx_network, tmp_path):
    """A truncated or empty file, or one of something else, is refused."""
    path = tmp_path / "model.onnx"
    path.write_bytes(damage(onnx_network("maps").read_bytes()))
    with pytest.raises(ModelError, match="is no ONNX file, or damaged"):
        open_backbone(BackboneRequest(handle=str(path), pixels="0..1"))


def test_nested_deeply(tmp_path):
    """Graphs in graphs without end are refused, not followed."""
    data = b""
    for tag in (0x32, 0x2A, 0x0A) * 200:  # a graph in an attribute in a node
        size, length = b"", len(data)
        while length > 127:
            size, length = size + bytes([length & 127 | 128]), length >> 7
        data = bytes([tag]) + size + bytes([length]) + data
    (tmp_path / "deep.onnx").write_bytes(b"\x3a" + bytes([len(data) & 127 | 128, len(data) >> 7]) + data)
    with pytest.raises(ModelError, match="is no ONNX file, or damaged"):
        external_files(tmp_path / "deep.onnx")


def test_no_file(tmp_path):
    """A path without a file is refused by name."""
    with pytest.raises(ModelError, match=r"There is no file .*no\.onnx"):
        open_backbone(BackboneRequest(handle=str(tmp_path / "no.onnx")))
