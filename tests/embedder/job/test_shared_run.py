"""Several tables in one pass: a run of its own for each table is the judge."""

import pyarrow.parquet as pq
import pytest

from frieze.core import InputError
from frieze.embedder import BackboneRequest, JobOptions, Limits, TableRequest, embed_tables
from frieze.embedder.images import prepare
from frieze.embedder.job import calibration_sample, shared_run
from frieze.embedder.job.shard_writer import ShardWriter
from frieze.features import FeatureWriter, read_failures, read_manifest

TIMING = {
    "seconds", "images_per_second", "startup_seconds", "stages", "cpu_seconds", "other_programs", "bound_by", "advice",
    "out",
}  # fmt: skip


@pytest.fixture(scope="module")
def networks(tiny, save_tiny, tmp_path_factory):
    """Two requests of different networks, the second with another fit."""
    other = save_tiny(tmp_path_factory.mktemp("other") / "other", seed=5)
    return [BackboneRequest(handle=str(tiny)), BackboneRequest(handle=str(other), fit="crop")]


@pytest.fixture
def update(networks, tmp_path):
    """`update(source, name, alone=False, **options)`: a table for each network, in one pass or one by one."""

    def run(source, name, *, alone=False, only=(0, 1), **changes):
        options = JobOptions(**{"shard_size": 4, "batch_size": 2, "workers": 2} | changes)
        tables = [TableRequest(tmp_path / f"{name}{one}", networks[one], options) for one in only]
        return [embed_tables(source, [one])[0] for one in tables] if alone else embed_tables(source, tables)

    return run


@pytest.fixture
def messy(folder):
    """Ten photographs, of which one is truncated, one empty, and two are equal."""
    (folder / "c.jpg").write_bytes((folder / "c.jpg").read_bytes()[:400])
    (folder / "e.jpg").write_bytes(b"")
    (folder / "h.jpg").write_bytes((folder / "a.jpg").read_bytes())
    return folder


@pytest.fixture
def decoded(monkeypatch):
    """The bytes of each image that is decoded."""
    seen, decode = [], prepare.decoded

    def counting(data, **options):
        seen.append(data)
        return decode(data, **options)

    monkeypatch.setattr(prepare, "decoded", counting)
    return seen


def content(out):
    """Return everything of a table that a run decides: names and rows of its parts, and its failures."""
    parts = [(part.name, pq.read_table(part).to_pylist()) for part in sorted(out.glob("parts/*"))]
    return parts, read_failures(out).to_pylist(), read_manifest(out).request


def untimed(documents):
    """Return documents without what a clock decides."""
    return [{name: value for name, value in document.items() if name not in TIMING} for document in documents]


def change_all(folder, photo):
    """Change, rename, remove and add images."""
    photo(90).save(folder / "b.jpg")
    (folder / "f.jpg").rename(folder / "renamed.jpg")
    (folder / "g.jpg").unlink()
    photo(91).save(folder / "k.jpg")


def test_same_tables(messy, update, photo, tmp_path):
    """Rows, failures, parts and documents are those of runs one by one, bit for bit, at first and after changes."""
    for change in (lambda: None, lambda: change_all(messy, photo)):
        change()
        assert untimed(update(messy, "both")) == untimed(update(messy, "alone", alone=True))
        for one in "01":
            assert content(tmp_path / f"both{one}") == content(tmp_path / f"alone{one}")


def test_each_image_is_decoded_once(folder, update, decoded):
    """Both tables share each decoded image; unchanged ones are not decoded again."""
    update(folder, "both")
    update(folder, "both")
    assert len(decoded) == len(set(decoded)) == 10


def test_a_table_gets_what_it_lacks(folder, update, photo, tmp_path, decoded):
    """A table that was ahead is given the new images alone, and both end as if each had run by itself."""
    update(folder, "both", only=[0], limit=7)
    for one in "kl":
        photo(ord(one)).save(folder / f"{one}.jpg")
    decoded.clear()
    first, second = update(folder, "both")
    assert (first["embedded"], second["embedded"], len(decoded)) == (5, 12, 12)
    update(folder, "alone", alone=True, only=[1])
    rows = [[row["id"] for _, part in content(tmp_path / f"both{one}")[0] for row in part] for one in "01"]
    assert [sorted(ids) for ids in rows] == [[f"{name}.jpg" for name in "abcdefghijkl"]] * 2
    assert content(tmp_path / "both1") == content(tmp_path / "alone1")


def test_interrupted(folder, update, tmp_path, monkeypatch):
    """After Ctrl-C both tables keep what was done, and the next run does the rest."""
    add, n_calls = ShardWriter.add, []

    def interrupted(writer, embedded):
        n_calls.append(1)
        if len(n_calls) == 8:
            raise KeyboardInterrupt
        add(writer, embedded)

    monkeypatch.setattr(ShardWriter, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        update(folder, "both")
    monkeypatch.undo()
    done = [read_manifest(tmp_path / f"both{one}").n_rows for one in "01"]
    rerun = update(folder, "both")
    assert all(n_rows > 0 for n_rows in done)
    assert [n_rows + one["embedded"] for n_rows, one in zip(done, rerun, strict=True)] == [10, 10]


def test_a_disk_that_refuses_one(folder, update, tmp_path, monkeypatch):
    """Where one table can't be written, the run ends with its error; both keep what they have for a rerun."""
    commit = FeatureWriter.commit

    def refuse(writer, *args):
        if writer.path.name == "both1":
            raise InputError("the disk is full", hint="")
        commit(writer, *args)

    monkeypatch.setattr(FeatureWriter, "commit", refuse)
    with pytest.raises(InputError, match="the disk is full"):
        update(folder, "both")
    monkeypatch.undo()
    before = read_manifest(tmp_path / "both0").n_rows
    rerun = update(folder, "both")
    assert before > 0
    assert [one["rows"] for one in rerun] == [10, 10]
    assert rerun[0]["embedded"] == 10 - before


def test_force_replaces_both(folder, update, tmp_path):
    """With `force` both tables are made anew, and no unfinished folder stays."""
    update(folder, "both", limit=3)
    assert [one["embedded"] for one in update(folder, "both", force=True)] == [10, 10]
    assert sorted(path.name for path in tmp_path.iterdir() if "both" in path.name) == ["both0", "both1"]


def test_retry(messy, update, photo):
    """Failures are retried in both tables, and nothing else is."""
    update(messy, "both", limit=9)
    photo(3).save(messy / "e.jpg")
    assert [one["embedded"] for one in update(messy, "both", retry_failures=True)] == [1, 1]


def test_one_refused(folder, update, networks, tmp_path):
    """Where one backbone can't be opened, no table of the others stays behind."""
    networks = [networks[0], BackboneRequest(handle=str(tmp_path / "nothing"))]
    tables = [TableRequest(tmp_path / f"t{at}", one, JobOptions()) for at, one in enumerate(networks)]
    with pytest.raises(InputError, match="nothing is no backbone"):
        embed_tables(folder, tables)
    assert not list(tmp_path.glob("t?"))


@pytest.mark.parametrize(
    ("changes", "outs", "message"),
    [
        ({"ray": "auto"}, "ab", "On a Ray cluster a run makes one table"),
        ({}, "aa", "same folder"),
    ],
)
def test_refused(changes, outs, message, folder, networks, tmp_path):
    """What does not go together is refused before anything is written."""
    tables = [
        TableRequest(tmp_path / out, request, JobOptions(**changes))
        for out, request in zip(outs, networks, strict=True)
    ]
    with pytest.raises(InputError, match=message):
        embed_tables(folder, tables)
    assert not list(tmp_path.glob("[ab]"))


def test_other_limits(folder, networks, tmp_path):
    """Tables that limit or list the images differently are refused by the option's name."""
    options = [JobOptions(), JobOptions(limits=Limits(max_pixels=9000))]
    tables = [TableRequest(tmp_path / str(at), networks[at], options[at]) for at in range(2)]
    with pytest.raises(InputError, match="`max_pixels`"):
        embed_tables(folder, tables)


def test_engines_are_tried_on_images_decoded_once(folder, update, tmp_path, decoded, monkeypatch):
    """Where both tables lack the same images, those that engines are tried on are decoded once for both."""
    monkeypatch.setattr(calibration_sample, "SIZE", 4)
    monkeypatch.setattr(shared_run, "SIZE", 4)
    update(folder, "both")
    assert len(decoded) == 4 + 10
    assert all(read_manifest(tmp_path / f"both{one}").tuning["tried"] for one in "01")
