import shutil

import pytest

import frieze


@pytest.fixture
def copied(world, tmp_path):
    """A copy of the world, to be spoilt."""
    return shutil.copytree(world, tmp_path / "world")


def spoil(path):
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(("name", "kind"), [("features", "features"), ("index", "index"), ("head", "head")])
def test_sound(name, kind, world, run_json):
    """Features, an index and a head that are sound are reported so, with exit code 0."""
    code, document = run_json("verify", world / f"photos.{name}")
    assert (code, document["ok"], document["kind"], document["problems"]) == (0, True, kind, [])


def test_sample(world, run_json):
    """With --sample images are embedded again and compared."""
    code, document = run_json("verify", world / "photos.features", "--sample", "5")
    assert (code, document["sampled"], document["drifted"]) == (0, 5, [])


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("photos.features/parts/part-000000.parquet", "hash"),
        ("photos.index/generation-1/vectors.faiss", "files"),
        ("photos.head/head.skops", "files"),
    ],
)
def test_spoilt(name, check, copied, run):
    """A changed byte in any of them is reported with what to type, and the exit code is 1."""
    spoil(copied / name)
    result = run("verify", copied / name.split("/")[0])
    assert (result.exit_code, result.stderr.split(":")[0]) == (1, check)
    assert any(word in result.stderr for word in ("Delete", "Rebuild it", "Train"))
    assert "problems" not in result.stdout


def test_hash_of_a_large_index(copied, run, monkeypatch):
    """A byte changed far from the ends of an index is found, where opening it looks at the ends alone."""
    monkeypatch.setattr("frieze.indexing.storage.generations._END_BYTES", 8)
    frieze.index(copied / "photos.features", out=copied / "large.index")
    spoil(copied / "large.index" / "generation-1" / "vectors.faiss")
    frieze.open_index(copied / "large.index")
    result = run("verify", copied / "large.index")
    assert (result.exit_code, "is not the file that was written there" in result.stderr) == (1, True)


def test_none_of_ours(tmp_path, run):
    """Anything else is an error that says what it is not."""
    result = run("verify", tmp_path)
    assert (result.exit_code, "is no folder of features, no index, no head and no exported model" in result.stderr) == (
        1,
        True,
    )
