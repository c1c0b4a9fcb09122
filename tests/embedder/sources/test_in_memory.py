import io

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError, InputError
from frieze.embedder import SourceOptions, decode, open_source
from frieze.features import open_features


def pixels(seed, *shape):
    """Draw random pixels."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def opened(objects, **options):
    """Open objects as a source, and return its listing's rows, and what each decodes to or why it does not."""
    source = open_source(objects, SourceOptions(**options))
    images = source.listing.images.to_pylist()
    return images, [_decoded(content) for content in source.read(np.arange(len(images)))]


def _decoded(content):
    return content if isinstance(content, ImageError) else np.asarray(decode(content, side_px=500)[0])


def encoded(image, kind="PNG", **options):
    """Encode a picture."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize("shape", [(3, 9, 7, 3), (3, 9, 7, 4), (3, 9, 7, 1), (5, 9, 7), (1, 9, 7)])
def test_stack(shape):
    """Each image of an array decodes to what its PNG decodes to, and its number is its id."""
    stack = pixels(0, *shape)
    images, decoded = opened(stack)
    plain = [Image.fromarray(one[..., 0] if shape[-1] == 1 else one) for one in stack]
    expected = [decode(encoded(one), side_px=500)[0] for one in plain]
    assert all(np.array_equal(one, np.asarray(other)) for one, other in zip(decoded, expected, strict=True))
    assert [(image["id"], image["uri"], image["label"]) for image in images] == [
        (str(number), f"memory:{number}", None) for number in range(len(stack))
    ]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr", "HSV"])
def test_modes(mode):
    """A PIL image of any mode decodes to what it looks like over white."""
    image = Image.fromarray(pixels(1, 9, 7)) if mode == "I;16" else Image.fromarray(pixels(1, 9, 7, 3))
    image = Image.fromarray(np.asarray(image, np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    _, (actual,) = opened([image])
    target = image if mode in ("CMYK", "YCbCr", "HSV") else Image.open(io.BytesIO(encoded(image)))
    expected = np.asarray(decode(encoded(target.convert("RGB") if target is image else target), side_px=500)[0])
    assert np.abs(actual.astype(int) - expected).max() <= 1


def test_palette_transparency():
    """A transparent colour of a palette lies over white, as in the file."""
    data = encoded(Image.fromarray(pixels(2, 9, 7, 3)).convert("P"), transparency=5)
    _, (actual,) = opened([Image.open(io.BytesIO(data))])
    assert np.array_equal(actual, np.asarray(decode(data, side_px=500)[0]))


def test_orientation():
    """A picture opened from a file that lies on its side stands upright once."""
    image = Image.fromarray(pixels(3, 8, 16, 3))
    exif = Image.Exif()
    exif[274] = 6
    data = encoded(image, exif=exif)
    _, (actual,) = opened([Image.open(io.BytesIO(data))])
    assert actual.shape == (16, 8, 3)
    assert np.array_equal(actual, np.asarray(decode(data, side_px=500)[0]))


def test_names_labels_and_columns(tmp_path):
    """Elements may be images, pairs and dicts; bytes and paths are taken as they are."""
    picture = Image.fromarray(pixels(4, 9, 7, 3))
    picture.save(tmp_path / "a.png")
    objects = [
        picture,
        ("b", encoded(picture)),
        {"image": tmp_path / "a.png", "id": 7, "label": "rose", "year": 1999},
        {"image": np.asarray(picture), "width": 5},
    ]
    images, decoded = opened(objects)
    assert [(image["id"], image["label"], image["year"]) for image in images] == [
        *[("0", None, None), ("b", None, None)],
        *[("7", "rose", 1999), ("3", None, None)],
    ]
    assert (images[2]["uri"], images[3]["source_width"]) == (str(tmp_path / "a.png"), 5)
    assert all(np.array_equal(one, np.asarray(picture)) for one in decoded)
    assert opened(objects, labels="none")[0][2]["label"] is None


def test_named_by_a_dict():
    """A dict of images by their ids would yield its ids: the error asks for its pairs, which are accepted."""
    images = {"a": pixels(5, 9, 7, 3), "b": pixels(6, 9, 7, 3)}
    with pytest.raises(InputError, match=r"pass images\.items\(\)"):
        opened(images)
    actual, decoded = opened(images.items())
    assert [image["id"] for image in actual] == ["a", "b"]
    assert all(np.array_equal(one, other) for one, other in zip(decoded, images.values(), strict=True))


def test_paths_in_a_list(tmp_path):
    """A path in a list is named by its number, as all objects are, and its folder is no label."""
    (tmp_path / "roses").mkdir()
    Image.fromarray(pixels(4, 9, 7, 3)).save(tmp_path / "roses" / "a.png")
    (image,), _ = opened([tmp_path / "roses" / "a.png"])
    assert (image["id"], image["label"], image["uri"]) == ("0", None, str(tmp_path / "roses" / "a.png"))


def test_generator_is_read_once():
    """What a generator yields is the same as from a list, though it is read but once."""
    stack = pixels(5, 20, 9, 7, 3)
    (images, decoded), (expected, expected_decoded) = opened(one for one in stack), opened(list(stack))
    assert images == expected
    assert all(np.array_equal(one, other) for one, other in zip(decoded, expected_decoded, strict=True))


def test_generator_leaves_nothing(tmp_path, monkeypatch):
    """What a generator yields lies in a temporary file that nobody sees and that goes with the source."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = open_source((one for one in pixels(6, 3, 9, 7, 3)), SourceOptions())
    assert len(list(source.read(np.arange(3)))) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [None, 5, np.zeros((2, 2)), np.zeros((2, 2, 2, 2), np.uint8), object()])
@pytest.mark.parametrize("lazily", [False, True])
def test_bad_element(bad, lazily):
    """What is no image is a failure of its own, and the others are embedded."""
    objects = [pixels(7, 9, 7, 3), bad, pixels(8, 9, 7, 3)]
    source = open_source(iter(objects) if lazily else objects, SourceOptions())
    contents = list(source.read(np.arange(len(source.listing.images))))
    failures = [one for one in (*contents, *source.listing.failures) if not isinstance(one, bytes)]
    assert [(one.stage, one.reason) for one in failures] == [("decode", "not an image")]
    assert sum(isinstance(one, bytes) for one in contents) == 2


class Tensor:
    """An array of another library, which can be iterated over but is no sequence."""

    def __init__(self, values):
        self.values, self.shape = values, values.shape

    def __array__(self, *_, **__):
        return self.values

    def __iter__(self):
        return iter(self.values)


@pytest.mark.parametrize("kind", [np.asarray, Tensor])
@pytest.mark.parametrize(
    ("shape", "hint", "n_images"),
    [
        ((3, 9, 7), "numpy.moveaxis(image, 0, -1)[None]", 1),
        ((4, 9, 7), "images[..., None]", 4),
        ((5, 3, 9, 7), "numpy.moveaxis(images, 1, -1)", 5),
        ((3, 4, 9, 7), "numpy.moveaxis(images, 1, -1)", 3),
    ],
)
def test_channels_first(shape, hint, n_images, kind):
    """An array whose channels may come first is rejected with what puts them last; what that gives is taken."""
    values = pixels(9, *shape)
    with pytest.raises(InputError, match="channels") as caught:
        open_source(kind(values), SourceOptions())
    assert hint.removesuffix("[None]") in caught.value.hint
    fixed = eval(hint, {"numpy": np, "image": values, "images": values})  # noqa: S307  our own words
    assert len(opened(fixed)[0]) == n_images


def test_channels_first_in_a_list():
    """Of images one by one it is a failure of those alone, with the same words."""
    actual = opened([pixels(0, 9, 7, 3), pixels(1, 3, 9, 7), pixels(2, 1, 9, 7)])[1]
    assert [isinstance(one, ImageError) for one in actual] == [False, True, True]
    assert "numpy.moveaxis(image, 0, -1)" in actual[1].message


def test_grey_with_alpha():
    """Two channels are grey and alpha, of a stack as of one image, and never images of two columns."""
    values = pixels(3, 9, 7, 2)
    expected = np.asarray(decode(encoded(Image.fromarray(values, "LA")), side_px=500)[0])
    assert np.array_equal(opened(values[None])[1][0], expected)
    with pytest.raises(InputError, match=r"images\[None\]") as caught:
        open_source(values, SourceOptions())
    assert caught.value.hint


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (np.zeros((2, 9, 7, 3)), "type float64; expected is [N, H, W, 3] of uint8"),
        (np.zeros((9, 7, 3), np.uint8), "shape [9, 7, 3]"),
        (5, "int is no source of images"),
        ({"a": np.zeros((9, 7, 3), np.uint8)}, "dict is no source of images"),
        ([], "There is no image in"),
    ],
)
def test_no_source(objects, message):
    """What holds no images is rejected with what is expected."""
    with pytest.raises(InputError) as caught:
        open_source(objects, SourceOptions())
    assert message in caught.value.message


def test_repeated_id():
    """Of two elements with one id the first stays; the other is a failure."""
    source = open_source([("a", pixels(1, 9, 7, 3)), ("a", pixels(2, 9, 7, 3))], SourceOptions())
    assert [failure.reason for failure in source.listing.failures] == ["repeated id"]


def test_too_large():
    """An image above the limit of bytes is a failure."""
    _, (error,) = opened([encoded(Image.new("RGB", (9, 9)))], max_bytes=10)
    assert (error.stage, error.reason) == ("read", "too large")


def test_error_of_the_program():
    """An error of the program's own generator is the program's to see."""

    def broken():
        yield pixels(1, 9, 7, 3)
        raise RuntimeError("no more light")

    with pytest.raises(RuntimeError, match="no more light"):
        open_source(broken(), SourceOptions())


def test_embedded(embed, module, out):
    """Arrays are embedded as the loaded module embeds them; again, nothing is done and no part is written."""
    stack = pixels(9, 10, 32, 32, 3)
    assert embed(stack, out)["embedded"] == 10
    expected = module(stack.astype(np.float32) / 255).numpy()
    assert np.abs(open_features(out).embeddings() - expected).max() < 1e-4
    before = {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}
    document = embed(stack, out)
    assert (document["embedded"], document["unchanged"]) == (0, 10)
    assert {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()} == before


def test_more_objects(embed, out):
    """A later call with one more, one changed and one less does only that."""
    stack = [(str(number), one) for number, one in enumerate(pixels(10, 5, 32, 32, 3))]
    embed(stack, out)
    document = embed([*stack[1:4], ("4", pixels(11, 32, 32, 3)), ("5", pixels(12, 32, 32, 3))], out)
    assert [document[name] for name in ("embedded", "unchanged", "removed", "rows")] == [2, 3, 1, 5]
