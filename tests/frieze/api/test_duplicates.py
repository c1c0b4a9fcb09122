"""`frieze duplicates`: its document, its table and its page; and a folder of edits from end to end."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

import frieze
from benchmarks.search.edits import EDITS
from benchmarks.search.made_images import LOOK_ALIKES, photograph
from frieze.cli.main import main


@pytest.fixture(scope="module")
def copied(photos, tmp_path_factory):
    """An index of six photographs, two of them there twice: once as the same file, once in half its size."""
    folder = tmp_path_factory.mktemp("copied")
    (folder / "photos").mkdir()
    for colour in ("blue", "green", "red"):
        shutil.copy(photos / colour / "0.png", folder / "photos" / f"{colour}.png")
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).resize((256, 256)).save(folder / "photos/noise.png")
    shutil.copy(folder / "photos/red.png", folder / "photos/red again.png")
    Image.open(folder / "photos/noise.png").resize((128, 128)).save(folder / "photos/noise small.png")
    frieze.embed(folder / "photos", out=folder / "t.features")
    frieze.index(folder / "t.features", out=folder / "t.index")
    return folder / "t.index"


def test_groups_of_files_and_pictures(copied, run_json):
    """Equal files make an exact group that keeps the older, a smaller copy one that keeps the larger; exit code 0."""
    code, document = run_json("duplicates", copied, "--min-score", "0.98")
    groups = {group["keep"]: group for group in document["groups"]}
    assert (code, document["rows"], document["stale"]) == (0, 6, None)
    assert groups["noise.png"]["ids"] == ["noise.png", "noise small.png"]
    assert [groups[name]["exact"] for name in ("noise.png", "red.png")] == [False, True]
    assert groups["red.png"]["ids"] == ["red.png", "red again.png"]
    assert groups["red.png"]["min_score"] == pytest.approx(1, abs=1e-6)
    assert (document["n_exact"], document["n_near"], document["n_duplicates"], document["n_confirmed"]) == (1, 1, 2, 1)


def test_members(copied, run_json):
    """Each image but the one to keep is a member: how it differs, its score, and how much of the kept one it shows."""
    groups = run_json("duplicates", copied)[1]["groups"]
    (small,), (copy,) = (group["members"] for group in sorted(groups, key=lambda group: group["keep"]))
    assert {name: small[name] for name in ("id", "kind", "overlap")} == {
        "id": "noise small.png",
        "kind": "re-encoded",
        "overlap": 1.0,
    }
    assert small["uri"].endswith("photos/noise small.png")
    assert 0.9 < small["score"] < 1
    assert (copy["id"], copy["kind"], copy["overlap"]) == ("red again.png", "same bytes", 1.0)


@pytest.mark.parametrize(("keep", "kept"), [("best", "noise.png"), ("* small.png", "noise small.png")])
def test_which_one_to_keep(copied, run_json, keep, kept):
    """`--keep` names a pattern of what to keep instead of the best."""
    assert kept in [group["keep"] for group in run_json("duplicates", copied, "--keep", keep)[1]["groups"]]


def test_a_pattern_of_nothing(copied, run):
    """A pattern that no image has ends with exit code 1 before anything is compared."""
    result = run("duplicates", copied, "--keep", "*.tiff")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No image's path or id matches '*.tiff'" in result.stderr


def test_the_same_from_python(copied, run_json):
    """The Python function returns the command's document."""
    assert frieze.duplicates(copied, min_score=0.98) == {
        **run_json("duplicates", copied, "--min-score", "0.98")[1],
        "index": str(copied),
    }


def test_no_duplicates_is_no_error(world, run_json):
    """Where nothing is found the groups are empty, and the exit code is 0."""
    code, document = run_json("duplicates", world / "photos.index", "--min-score", "1")
    assert (code, document["groups"], document["min_score"], document["n_duplicates"]) == (0, [], 1.0, 0)


def test_a_table_for_people(copied, run, monkeypatch):
    """On a terminal the counts and a table of groups are printed, with the one to keep and the others."""
    monkeypatch.setattr("frieze.terminal.is_terminal", lambda: True)
    stdout = run("duplicates", copied, "--min-score", "0.98").stdout
    lines = [" ".join(line.split()) for line in stdout.splitlines()]
    assert "2 groups of copies, 1 of them of equal files, among 6 images: 2 images could go." in lines
    assert any(line.startswith("2 same bytes red.png red again.png") for line in lines)
    assert any(line.startswith("2 re-encoded noise.png noise small.png") for line in lines)


def test_what_to_do_next(copied, run, tmp_path, monkeypatch):
    """On a terminal the way to the pictures and to moving is named, then the page; in a pipe neither is."""
    assert "--html" not in run("duplicates", copied).stderr
    monkeypatch.setattr("frieze.terminal.is_terminal", lambda: True)
    assert "use --html FILE; then to move the copies, --move-to FOLDER." in run("duplicates", copied).stderr
    assert "--html" not in run("duplicates", copied, "--out", tmp_path / "d.csv").stderr
    result = run("duplicates", copied, "--html", tmp_path / "d.html")
    assert f"The pictures of the groups are in {tmp_path / 'd.html'}." in result.stderr


def test_a_table_for_programs(copied, run, tmp_path):
    """Into a pipe goes TSV, a line an image, as in the file of --out; the counts go to stderr."""
    result = run("duplicates", copied, "--min-score", "0.98", "--out", tmp_path / "d.csv")
    head, *lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert head == ["group", "id", "uri", "keep", "exact", "min_score", "kind", "score", "overlap"]
    assert [(line[0], line[3], line[4]) for line in lines[:2]] == [("0", "yes", "yes"), ("0", "no", "yes")]
    assert [line[1] for line in lines[:2]] == ["red.png", "red again.png"]
    assert "2 images could go" in result.stderr
    written = pyarrow.csv.read_csv(tmp_path / "d.csv")
    assert written["id"].to_pylist() == [line[1] for line in lines]
    assert written["keep"].to_pylist() == [line[3] == "yes" for line in lines]
    assert run("duplicates", copied, "--out", tmp_path / "d.csv").exit_code == 1
    assert run("duplicates", copied, "--out", tmp_path / "d.csv", "--force").exit_code == 0


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_columns_of_the_file(copied, tmp_path, suffix):
    """The file has kind, score and overlap of each copy; the one to keep shows all of itself."""
    document = frieze.duplicates(copied, out=tmp_path / f"d.{suffix}")
    read = {"parquet": pq.read_table, "csv": pyarrow.csv.read_csv, "jsonl": pyarrow.json.read_json}[suffix]
    rows = read(tmp_path / f"d.{suffix}").to_pylist()
    assert list(rows[0]) == ["group", "id", "uri", "keep", "exact", "min_score", "kind", "score", "overlap"]
    assert [(row["id"], row["kind"] or None, row["overlap"]) for row in rows if row["keep"]] == [
        (group["keep"], None, 1.0) for group in document["groups"]
    ]
    members = [member for group in document["groups"] for member in group["members"]]
    assert [{name: row[name] for name in members[0]} for row in rows if not row["keep"]] == members


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_table_of_an_earlier_version(copied, tmp_path, suffix):
    """A table with the six columns of earlier versions is replaced with `force`; one of other columns never is."""
    file = tmp_path / f"d.{suffix}"
    write = {"parquet": pq.write_table, "csv": pyarrow.csv.write_csv}[suffix]
    six = {name: [0] for name in ("group", "id", "uri", "keep", "exact", "min_score")}
    write(pa.table(six), file)
    assert frieze.duplicates(copied, out=file, force=True)["out"] == str(file)
    write(pa.table({"id": ["a"], "price": [3]}), file)
    with pytest.raises(frieze.InputError, match="duplicates"):
        frieze.duplicates(copied, out=file, force=True)


def test_more_groups_are_counted(copied, run, monkeypatch):
    """Of many groups the first ones are shown, and stderr says how many there are besides."""
    from frieze.cli.commands import duplicates

    monkeypatch.setattr("frieze.terminal.is_terminal", lambda: True)
    monkeypatch.setattr(duplicates, "_MOST_GROUPS", 1)
    result = run("duplicates", copied, "--min-score", "0.98")
    assert "1 more group" in result.stderr
    assert "noise.png" not in result.stdout


def test_a_page_of_pictures(copied, run, tmp_path):
    """The page shows each image of each group, the one to keep framed, and needs no other file."""
    assert run("duplicates", copied, "--min-score", "0.98", "--html", tmp_path / "d.html").exit_code == 0
    page = (tmp_path / "d.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 4
    assert page.count('<figure class="keep">') == 2
    assert page.index(">red.png<") < page.index("red again.png")
    assert "2 images, equal files" in page
    assert "2 groups among 6 images; 2 images could go" in page


def test_a_long_page_is_cut(copied, tmp_path, monkeypatch):
    """A page shows so many groups and images, and says what it leaves out."""
    from frieze.reports import html as report

    monkeypatch.setattr(report, "_MOST_GROUPS", 1)
    monkeypatch.setattr(report, "_MOST_IMAGES", 1)
    frieze.duplicates(copied, min_score=0.98, html=tmp_path / "d.html")
    page = (tmp_path / "d.html").read_text()
    assert page.count("<figure") == 1
    assert "and 1 more" in page
    assert "1 more group is left out." in page


def test_a_page_of_somebody_else_stays(copied, run, tmp_path):
    """A file that is no page of ours is not written over, and nothing is compared before that is reported."""
    (tmp_path / "mine.html").write_text("mine")
    result = run("duplicates", copied, "--html", tmp_path / "mine.html")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "already exists and is not a page written by Frieze" in result.stderr
    assert (tmp_path / "mine.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ("1.5", "The minimum score is 1.5, but scores with cosine are from -1 to 1."),
        ("nan", "The minimum score is nan"),
    ],
)
def test_a_wrong_score_is_refused(copied, run, score, message):
    """A score that no pair can have ends with exit code 1 and a hint."""
    result = run("duplicates", copied, "--min-score", score)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Use another --min-score" in result.stderr


def test_a_table_is_no_index(world, run):
    """A table of features is named for what it is."""
    result = run("duplicates", world / "photos.features")
    assert result.exit_code == 1
    assert "is a table of features; expected an index" in result.stderr


def test_a_stale_index_is_reported(photos, run, tmp_path):
    """Where the table has changed since, stderr reports it with what to type."""
    shutil.copytree(photos / "red", tmp_path / "red")
    frieze.embed(tmp_path / "red", out=tmp_path / "t.features")
    frieze.index(tmp_path / "t.features", out=tmp_path / "t.index")
    (tmp_path / "red" / "0.png").unlink()
    frieze.embed(tmp_path / "red", out=tmp_path / "t.features")
    assert "was made from an older state of its table" in run("duplicates", tmp_path / "t.index").stderr


@pytest.fixture(scope="module")
def of_edits(tmp_path_factory):
    """The document for two photographs with eleven edits each, and two pictures of each kind that are no copies."""
    folder = tmp_path_factory.mktemp("edited")
    (folder / "photos").mkdir()
    for number in range(2):
        photograph(number).save(folder / "photos" / f"photograph {number}.png")
        for edit, one in EDITS.items():
            one.write(photograph(number), np.random.default_rng(number), folder / "photos" / f"{edit} of {number}")
    for kind, make in LOOK_ALIKES.items():
        for number in range(2):
            make(number).save(folder / "photos" / f"{kind} {number}.png")
    frieze.embed(folder / "photos", out=folder / "t.features")
    frieze.index(folder / "t.features", out=folder / "t.index")
    line = ["duplicates", str(folder / "t.index"), "--min-score", "0.5", "--json"]
    return json.loads(CliRunner().invoke(main, line).stdout)


def test_edits_from_end_to_end(of_edits):
    """Every edit is in the group of its photograph, which is kept, with its kind; no other picture is in a group."""
    actual = {
        group["keep"]: {member["id"].rsplit(".", 1)[0]: member["kind"] for member in group["members"]}
        for group in of_edits["groups"]
    }
    expected = {
        f"photograph {number}.png": {f"{edit} of {number}": one.kind for edit, one in EDITS.items()}
        for number in range(2)
    }
    assert actual == expected
    crops = {"crop 5 %": 0.9, "crop 20 %": 0.64}
    for member in (member for group in of_edits["groups"] for member in group["members"]):
        assert member["overlap"] == pytest.approx(crops.get(member["id"].partition(" of ")[0], 1.0), abs=0.02)
    assert [of_edits[name] for name in ("n_confirmed", "n_duplicates", "n_unreadable")] == [22, 22, 0]
    assert of_edits["notes"] == []


def test_look_alikes_from_end_to_end(of_edits):
    """What is near by vector and no copy looks alike: in no set are two images of one group."""
    group_of = {name: number for number, group in enumerate(of_edits["groups"]) for name in group["ids"]}
    assert of_edits["n_look_alikes"] > 10
    for one in of_edits["look_alikes"]:
        groups = [group_of[name] for name in one["ids"] if name in group_of]
        assert len(groups) == len(set(groups))
