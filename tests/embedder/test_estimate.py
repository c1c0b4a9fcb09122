import os

import pytest

from embedder import BackboneRequest, JobOptions, estimate_source
from features import InputError


@pytest.fixture
def estimate(tiny):
    """`estimate(source, out, **options)`: what a run would do."""

    def run(source, out, **options):
        request = BackboneRequest(handle=str(tiny))
        return estimate_source(str(source), out, request=request, options=JobOptions(**options))

    return run


def test_new_table(folder, out, estimate):
    """Of a new table it tells images, bytes and seconds, and writes nothing."""
    document = estimate(folder, out)
    names = ("images", "to_embed", "unchanged", "removed", "ignored", "dim", "bytes")
    assert [document[name] for name in names] == [10, 10, 0, 0, 0, 16, 10 * (64 + 100)]
    assert document["seconds"] == pytest.approx(10 / document["images_per_second"], abs=0.1)
    assert document["free_bytes"] > 0
    assert list(out.parent.iterdir()) == [folder]


def test_changed_source(folder, write_photos, embed, out, estimate):
    """Of a table that is there it counts what is new or changed, stays, and goes."""
    embed(folder, out)
    (folder / "a.jpg").unlink()
    os.utime(folder / "b.jpg", ns=(1, 1))
    write_photos(folder, ["n.jpg"], first_seed=50)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    document = estimate(folder, out)
    assert [document[name] for name in ("images", "to_embed", "unchanged", "removed")] == [10, 2, 8, 1]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_nothing_to_do(folder, embed, out, estimate, monkeypatch):
    """Where nothing is to be embedded no backbone is opened."""
    embed(folder, out)
    monkeypatch.setattr("embedder.estimate.open_backbone", lambda _: pytest.fail("it was opened"))
    document = estimate(folder, out)
    assert (document["to_embed"], document["seconds"], document["bytes"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("option", "to_embed"), [({"limit": 3}, 3), ({"force": True}, 10), ({"retry_failures": True}, 1)]
)
def test_options(option, to_embed, folder, embed, out, estimate):
    """It heeds what the run would heed."""
    (folder / "c.jpg").write_text("text")
    if "limit" not in option:
        embed(folder, out)
    assert estimate(folder, out, **option)["to_embed"] == to_embed


def test_what_is_wrong_is_told(folder, out, estimate):
    """What the run would refuse is refused."""
    (out / "other").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no features"):
        estimate(folder, out)
