import dataclasses

import numpy as np
import pytest

from frieze.core import InputError, ModelError, unit_rows
from frieze.embedder import PIXELS, BackboneRequest, has_graph, open_backbone
from frieze.embedder.backbones.pooling import POOLS
from frieze.embedder.engines import EngineSettings
from frieze.embedder.engines.openvino import OpenVINOEngine

pytestmark = pytest.mark.usefixtures("needs_openvino")
CPU = EngineSettings(devices=("CPU:0",))
KINDS = {"tokens": "avg", "maps": None, "nhwc": None, "299": None, "alone": None}
"""Kind of network -> `pool`."""


@pytest.fixture
def open_onnx(onnx_network):
    """`open_onnx(kind, **options)`: the backbone of a tiny network; `pixels` is `torch` unless they say otherwise."""
    return lambda kind, **options: open_backbone(
        BackboneRequest(handle=str(onnx_network(kind)), **({"pixels": "torch"} | options))
    )


def draw(backbone, n=5):
    """Return uint8 [n, H, W, 3] of the size that a backbone takes."""
    return np.random.default_rng(0).integers(0, 256, (n, *backbone.spec.image_size, 3), dtype=np.uint8)


def run_onnx(path, images, pixels, output=None):
    """Embed one image after the other by ONNX Runtime; images are uint8 [n, H, W, 3]."""
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    values = PIXELS[pixels](images.astype(np.float32) / np.float32(255))
    if session.get_inputs()[0].shape[-1] != 3:
        values = values.transpose(0, 3, 1, 2)
    return np.concatenate([session.run(output, {"x": np.ascontiguousarray(one[None])})[0] for one in values])


def judge(kind, outputs):
    """Pool what ONNX Runtime returned."""
    return {"tokens": lambda: outputs.mean(1), "maps": lambda: outputs.mean((2, 3))}.get(kind, lambda: outputs)()


def refusal(open_onnx, *args, **options):
    """Open what can't be opened, and return the error."""
    with pytest.raises(InputError) as caught:
        open_onnx(*args, **options)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pixels", ["torch", "caffe"])
def test_equals_onnx_runtime(kind, pixels, open_onnx, cosines):
    """The vectors of each kind of network are those of ONNX Runtime."""
    backbone = open_onnx(kind, pool=KINDS[kind], pixels=pixels)
    images = draw(backbone)
    expected = judge(kind, run_onnx(backbone.spec.handle, images, pixels))
    embeddings = OpenVINOEngine(backbone, CPU).infer(images)
    assert embeddings.shape == (5, backbone.spec.dim)
    assert cosines(embeddings, expected).min() >= 0.9999


@pytest.mark.parametrize("pixels", PIXELS)
def test_pixels(pixels, save_onnx, tmp_path):
    """`pixels` gives the network the range that it names."""
    path = save_onnx(tmp_path / "mean.onnx", ["b", 3, 4, 4], [("ReduceMean x -> y", {"axes": [2, 3], "keepdims": 0})])
    backbone = open_backbone(BackboneRequest(handle=str(path), pixels=pixels))
    images = draw(backbone)
    expected = PIXELS[pixels](images.astype(np.float32) / np.float32(255)).mean((1, 2))
    assert np.allclose(OpenVINOEngine(backbone, CPU).infer(images), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["tokens", "maps"])
@pytest.mark.parametrize("pool", POOLS)
def test_pool(kind, pool, open_onnx, cosines):
    """Maps and tokens are pooled as `pool` says."""
    if (kind, pool) == ("maps", "cls"):
        assert "`pool='cls'` takes the first token" in refusal(open_onnx, kind, pool=pool, image_size=16).message
        return
    backbone = open_onnx(kind, pool=pool, image_size=16)
    images = draw(backbone)
    values = run_onnx(backbone.spec.handle, images, "torch")
    values = values.transpose(0, 2, 3, 1).reshape(5, -1, 8) if kind == "maps" else values  # [5, T, 8]
    pooled = {
        "avg": lambda: values.mean(1),
        "max": lambda: values.max(1),
        "gem": lambda: (np.maximum(values, 1e-6) ** 3).mean(1) ** (1 / 3),
        "cls": lambda: values[:, 0],
        "none": lambda: values.reshape(5, -1),
    }
    assert cosines(OpenVINOEngine(backbone, CPU).infer(images), pooled[pool]()).min() >= 0.9999
    assert backbone.spec.pool == pool


def test_tokens_need_a_pool(open_onnx):
    """Tokens are never pooled by a guess: the error shows their shape and the choices."""
    error = refusal(open_onnx, "tokens")
    assert "[B, 17, 8]" in error.message
    assert "`cls`" in error.hint
    assert "`avg`" in error.hint


def test_spec(open_onnx, onnx_network):
    """The spec has the file's name and path, the network's size and width."""
    spec = open_onnx("nhwc").spec
    assert (spec.name, spec.handle, spec.dim, spec.image_size) == ("nhwc", str(onnx_network("nhwc")), 6, (32, 24))


def test_any_size(open_onnx):
    """A network of no fixed size gets 224 pixels, or what `image_size` says; a fixed one refuses others."""
    assert open_onnx("maps").spec.image_size == (224, 224)
    assert open_onnx("maps", image_size="32x48").spec.image_size == (32, 48)
    assert "takes images of 299 x 299 pixels, and no others" in refusal(open_onnx, "299", image_size=224).message


def test_too_small(open_onnx):
    """A size that the layers do not take is refused with OpenVINO's reason."""
    assert "maps can't embed images of 2 x 2 pixels: Kernel after" in refusal(open_onnx, "maps", image_size=2).message


def test_pixels_must_be_known(open_onnx):
    """A network that does not rescale its pixels is rejected without `pixels`."""
    assert "none of its layers rescales them by known numbers" in refusal(open_onnx, "nhwc", pixels=None).message


def test_one_image_at_once(open_onnx):
    """A network that takes one image at once is run so, whatever batch size is given."""
    backbone = open_onnx("alone")
    assert backbone.openvino_graph.batch_size == 1
    assert OpenVINOEngine(backbone, EngineSettings(devices=("CPU:0",), batch_size=8)).batch_size == 1


def test_layer(open_onnx):
    """`layer` reads an inner tensor, here maps; the message for an unknown one lists similar names, the last first."""
    backbone = open_onnx("nhwc", layer="m")
    assert backbone.spec.dim == 8
    assert refusal(open_onnx, "tokens", layer="mixe").hint == "Similar names: mixed [?,17,8]."
    assert refusal(open_onnx, "tokens", layer="Y").hint == "Similar names: y [?,17,8]."


def test_several_outputs(save_onnx, tmp_path):
    """Of several outputs the one that is named like embeddings is taken; else they are listed with their shapes."""
    nodes = [("Flatten x -> {0}", {}), ("Relu {0} -> {1}", {})]

    def save(*names):
        named = [(node.format(*names), attributes) for node, attributes in nodes]
        path = save_onnx(tmp_path / "two.onnx", ["b", 3, 4, 4], named, outputs=names)
        return BackboneRequest(handle=str(path), pixels="-1..1")

    images = np.zeros((1, 4, 4, 3), np.uint8)
    for names, expected in ((("hidden", "image_embeds"), 0), (("pooler_output", "hidden"), -1)):
        assert np.all(OpenVINOEngine(open_backbone(save(*names)), CPU).infer(images) == expected)
    with pytest.raises(ModelError, match=r"several outputs: one \[\?,48\]; two \[\?,48\]") as caught:
        open_backbone(save("one", "two"))
    assert caught.value.hint == "Choose one with `layer='NAME'`."


def test_other_inputs(save_onnx, tmp_path):
    """A network that takes text, too, is used where an output needs images alone; else the other input is named."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(save_onnx(tmp_path / "two.onnx", ["b", 3, 4, 4], [("Flatten x -> image_embeds", {})], outputs=()))
    graph, helper = model.graph, onnx.helper
    graph.input.append(helper.make_tensor_value_info("input_ids", onnx.TensorProto.FLOAT, ["b", 48]))
    graph.node.append(helper.make_node("Mul", ["image_embeds", "input_ids"], ["logits"]))
    graph.output.extend(helper.make_tensor_value_info(one, 1, None) for one in ("logits", "image_embeds"))
    onnx.save_model(model, tmp_path / "two.onnx")
    request = {"handle": str(tmp_path / "two.onnx"), "pixels": "0..1"}
    assert open_backbone(BackboneRequest(**request)).spec.dim == 48
    with pytest.raises(
        ModelError, match=r"(?s)other inputs than images for this output: input_ids .*Export the vision part"
    ):
        open_backbone(BackboneRequest(**request, layer="logits"))


def test_unknown_operator(save_onnx, tmp_path):
    """An operator of somebody's own is refused by its name."""
    nodes = [("my.own.Foo x -> a", {}), ("Relu a -> y", {})]
    path = save_onnx(tmp_path / "own.onnx", ["b", 3, 4, 4], nodes, domains=("my.own",))
    with pytest.raises(ModelError, match=r"operators that OpenVINO does not know: my\.own\.Foo\."):
        open_backbone(BackboneRequest(handle=str(path), pixels="0..1"))


def test_depends_on_the_batch(save_onnx, tmp_path):
    """A network that normalizes over the batch is refused."""
    nodes = [("Flatten x -> f", {}), ("ReduceMean f -> m", {"axes": [0]}), ("Sub f m -> y", {})]
    path = save_onnx(tmp_path / "norm.onnx", ["b", 3, 4, 4], nodes)
    with pytest.raises(ModelError, match="embeds an image differently with other images in its batch"):
        open_backbone(BackboneRequest(handle=str(path), pixels="0..1"))


@pytest.mark.parametrize("shape", [["b", 1, 8, 8], ["b", 48], ["b", "c", "h", "w"]])
def test_no_images(shape, save_onnx, tmp_path):
    """An input that is no batch of RGB images, or whose colours could be on either axis, is refused with its shape."""
    path = save_onnx(tmp_path / "net.onnx", shape, [("Relu x -> y", {})])
    with pytest.raises(ModelError, match=r"takes inputs of the shape \[.*images are \[B, 3, H, W\] or \[B, H, W, 3\]"):
        open_backbone(BackboneRequest(handle=str(path), pixels="0..1"))


def test_starts_without_tensorflow(open_onnx):
    """A stored backbone starts without TensorFlow as long as its file is the same."""
    spec = open_onnx("nhwc").spec
    assert has_graph(spec)
    assert not has_graph(dataclasses.replace(spec, fingerprint="other"))


def test_tensorflow_can_not_run_it(open_onnx):
    """What needs TensorFlow is refused by name."""
    with pytest.raises(ModelError, match="nhwc is an ONNX file, which OpenVINO runs: TensorFlow can neither train it"):
        open_onnx("nhwc").call(np.zeros((1, 32, 24, 3), np.float32))


def test_integers_are_levels(save_onnx, tmp_path):
    """A network that takes integers gets levels from 0 to 255, and no other range."""
    path = save_onnx(
        tmp_path / "levels.onnx",
        ["b", 16, 16, 3],
        [("Cast x -> f", {"to": 1}), ("ReduceMean f -> y", {"axes": [1, 2], "keepdims": 0})],
        element_type="UINT8",
    )
    assert open_backbone(BackboneRequest(handle=str(path))).spec.pixels == "0..255"
    with pytest.raises(InputError, match="takes integers"):
        open_backbone(BackboneRequest(handle=str(path), pixels="0..1"))


@pytest.mark.parametrize("views", ["flip", "five-crop"])
@pytest.mark.parametrize("kind", ["tokens", "nhwc"])
def test_views(kind, views, open_onnx, cosines, tf):
    """The unit vectors of an image's views, each embedded by itself, are averaged."""
    backbone = open_onnx(kind, pool=KINDS[kind], views=views)
    images = draw(backbone)
    alone = OpenVINOEngine(open_onnx(kind, pool=KINDS[kind]), CPU)
    height, width = (side - round(side * 7 / 8) for side in backbone.spec.image_size)
    corners = [(0, 0), (0, width), (height, 0), (height, width), (height // 2, width // 2)]
    inner = [round(side * 7 / 8) for side in backbone.spec.image_size]
    crops = [images[:, top : top + inner[0], left : left + inner[1]] for top, left in corners]
    crops = [tf.image.resize(crop, backbone.spec.image_size).numpy().round().astype(np.uint8) for crop in crops]
    seen = {"flip": [images, np.ascontiguousarray(images[:, :, ::-1])], "five-crop": crops}[views]
    expected = np.mean([unit_rows(alone.infer(view)) for view in seen], axis=0)
    assert cosines(OpenVINOEngine(backbone, CPU).infer(images), expected).min() >= 0.9995


def test_views_of_one_image_at_a_time(open_onnx):
    """A network that takes one image alone can't take its views."""
    assert "takes one image at a time" in refusal(open_onnx, "alone", views="flip").message
