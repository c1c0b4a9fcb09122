"""Thumbnails: the judge is Pillow on the original."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError, InputError
from frieze.web import thumbnails
from frieze.web.thumbnails import THUMBNAIL_PX, Thumbnails


@pytest.fixture
def pictures(tmp_path):
    """A folder with twenty noisy photographs and one that lies on its side by EXIF."""
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (300, 400, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    lying = Image.new("RGB", (400, 200), "red")
    lying.paste("blue", (0, 0, 200, 200))
    exif = lying.getexif()
    exif[274] = 6  # to be turned right
    lying.save(tmp_path / "lying.jpg", exif=exif)
    return tmp_path


def opened(data):
    """Decode a thumbnail."""
    return Image.open(io.BytesIO(data))


def test_upright(pictures):
    """A thumbnail stands upright, whole, and no longer than its limit."""
    image = opened(Thumbnails(pictures / "cache").get(str(pictures / "lying.jpg"), ""))
    assert image.size == (THUMBNAIL_PX // 2, THUMBNAIL_PX)
    top, bottom = image.getpixel((40, 20)), image.getpixel((40, 170))
    assert top[2] > 200
    assert top[0] < 60
    assert bottom[0] > 200
    assert bottom[2] < 60


def test_made_once(pictures, monkeypatch):
    """A thumbnail is drawn once, also for the next process; another version of the image is drawn again."""
    drawn = []
    real = thumbnails.draw
    monkeypatch.setattr(thumbnails, "draw", lambda *requested: drawn.append(requested) or real(*requested))
    uri = str(pictures / "0.png")
    for version in ("a", "a", "b"):
        Thumbnails(pictures / "cache").get(uri, version)
    assert len(drawn) == 2


def test_threads_share_the_cache(pictures, monkeypatch):
    """A thumbnail that one thread drew is cached for all threads."""
    drawn = []
    monkeypatch.setattr(thumbnails, "draw", lambda uri, _: drawn.append(uri) or b"drawn")
    cache = Thumbnails(pictures / "cache")
    for _ in range(2):
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(cache.get, "a.png", "").result() == b"drawn"
    assert drawn == ["a.png"]


def test_limit(pictures):
    """The file stays below its limit: the oldest thumbnails are evicted first, and drawn again when needed."""
    kept = Thumbnails(pictures / "cache", limit_bytes=100_000)
    for number in range(20):
        kept.get(str(pictures / f"{number}.png"), "")
    keys = [key for (key,) in kept._connection.execute("SELECT key FROM pictures ORDER BY used")]
    assert kept._size_bytes() <= 100_000
    assert keys == [f" {pictures / f'{number}.png'}" for number in range(20 - len(keys), 20)]
    assert opened(kept.get(str(pictures / "0.png"), "")).size == (192, 144)


@pytest.mark.parametrize(("n_too_few", "n_kept"), [(0, 9), (1, 7)])
def test_a_file_of_just_the_limit(tmp_path, monkeypatch, n_too_few, n_kept):
    """A file may have exactly its limit; one byte more, and a fifth of it is evicted, and one thumbnail."""
    monkeypatch.setattr(thumbnails, "draw", lambda *_: bytes(8000))

    def fill(name, **options):
        kept = Thumbnails(tmp_path / name, **options)
        for number in range(9):
            kept.get(f"{number}.png", "")
        return kept

    size = fill("measured")._size_bytes()
    kept = fill("limited", limit_bytes=size - n_too_few)
    assert kept._connection.execute("SELECT COUNT(*) FROM pictures").fetchone() == (n_kept,)


def test_limit_of_two(pictures):
    """Two processes that fill the same file keep to one limit."""
    both = [Thumbnails(pictures / "cache", limit_bytes=100_000) for _ in range(2)]
    for number in range(20):
        both[number % 2].get(str(pictures / f"{number}.png"), "")
        assert both[0]._size_bytes() <= 100_000


@pytest.mark.parametrize("content", [b"no database", None])
def test_no_such_file(tmp_path, content):
    """Where the file can't be had, it is said which, and what to do."""
    path = tmp_path / "below" / "cache"
    path.parent.touch() if content is None else path.parent.mkdir()
    if content is not None:
        path.write_bytes(content * 100)
    with pytest.raises(InputError, match=f"can't be stored in {path}"):
        Thumbnails(path)


def test_broken_meanwhile(pictures):
    """A file that breaks while it is used costs the keeping, not the picture."""
    kept = Thumbnails(pictures / "cache")
    kept._connection.execute("DROP TABLE pictures")
    assert opened(kept.get(str(pictures / "0.png"), "")).size == (192, 144)


def test_a_missing_image(pictures):
    """An image that is missing says so, and nothing is kept of it."""
    kept = Thumbnails(pictures / "cache")
    with pytest.raises(ImageError):
        kept.get(str(pictures / "none.png"), "")
    assert kept._connection.execute("SELECT COUNT(*) FROM pictures").fetchone() == (0,)
