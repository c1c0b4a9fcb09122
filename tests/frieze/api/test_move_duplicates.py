"""`frieze duplicates --move-to` and `--undo`: what is moved, what is left and why, and back."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

import frieze
from frieze.api import copy_files, moving
from frieze.api.moving import LOG_NAME, check_move, move_copies, undo_moves
from frieze.core import InputError


@pytest.fixture
def target(tmp_path):
    """A folder that does not exist yet."""
    return tmp_path / "moved"


def test_copies_are_moved(copies, target):
    """Each copy is below the folder under its own relative path; the image to keep stays."""
    document = copies.move(target)
    assert set(copies.files()) == {"photos/keep.png", "moved/a/copy.png", "moved/b/copy.png"}
    assert document == {
        "moved": 2,
        "moved_bytes": 14,
        "moved_to": str(target),
        "emptied": [str(copies.folder / "a"), str(copies.folder / "b")],
        "left": {},
        "undo": str(target / LOG_NAME),
    }


def test_paths_are_relative_to_what_was_embedded(copies, target, monkeypatch):
    """Where the table names the folder that was embedded, paths are relative to that, not to the common parent."""
    monkeypatch.setattr(copy_files, "source_folder", lambda _: copies.folder.parent)
    copies.move(target)
    assert (target / "photos/a/copy.png").is_file()


def test_a_path_with_dots(copies, target, monkeypatch):
    """A path with `..` in it, as lists of paths have them, does not lead out of the folder."""
    monkeypatch.setattr(copy_files, "source_folder", lambda _: copies.folder / "a")
    copies.add("c.png", uri=str(copies.folder / "a/../c.png"))
    copies.document["groups"].clear()
    copies.group("keep.png", "c.png")
    copies.move(target / "inner")
    assert set(copies.files()) >= {"photos/keep.png", "moved/inner/c.png"}


def test_undo(copies, target):
    """All files are back where they were, and only the log stays; a second time there is nothing to do."""
    before = copies.files()
    copies.move(target)
    assert undo_moves(target) == {"moved_back": 2, "left": {}, "undo": str(target / LOG_NAME)}
    assert copies.files() == before
    assert [one.name for one in target.iterdir()] == [LOG_NAME]
    assert undo_moves(target / LOG_NAME)["moved_back"] == 0


def test_a_line_says_what_was_moved(copies, target):
    """The log has a line of JSON for each move: from where, to where in the folder, sha256 and size."""
    copies.move(target)
    first, _ = map(json.loads, (target / LOG_NAME).read_text().splitlines())
    sha256 = hashlib.sha256(b"picture").hexdigest()
    origin = str(copies.folder / "a/copy.png")
    assert first == {"from": origin, "to": "a/copy.png", "sha256": sha256, "size": 7}


def test_a_name_that_is_taken_gets_a_number(copies, target):
    """A file that is in the folder already is not overwritten: the new one gets a number."""
    (target / "a").mkdir(parents=True)
    (target / "a/copy.png").write_bytes(b"mine")
    copies.move(target)
    assert ((target / "a/copy.png").read_bytes(), (target / "a/copy-2.png").read_bytes()) == (b"mine", b"picture")


def test_a_name_of_bytes(copies, target):
    """A file whose name is not UTF-8 is moved, and moved back."""
    name = os.fsdecode(b"b\xff.png")
    copies.add(name, id="b.png", uri=f"file://{copies.folder}/b%FF.png")
    copies.group("keep.png", "b.png")
    copies.move(target)
    assert (target / name).is_file()
    assert undo_moves(target)["moved_back"] == 3


def spoil_copy(copies):
    """Change a copy."""
    (copies.folder / "a/copy.png").write_bytes(b"PICTURE")


def remove_copy(copies):
    """Remove a copy."""
    (copies.folder / "a/copy.png").unlink()


def spoil_keeper(copies):
    """Change the image to keep."""
    (copies.folder / "keep.png").write_bytes(b"PICTURE")


def remove_keeper(copies):
    """Remove the image to keep."""
    (copies.folder / "keep.png").unlink()


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (spoil_copy, {copy_files.CHANGED: 1}),
        (remove_copy, {copy_files.MISSING: 1}),
        (spoil_keeper, {copy_files.KEEPER: 2}),
        (remove_keeper, {copy_files.KEEPER: 2}),
    ],
)
def test_changed_files_are_left(copies, target, change, left):
    """A copy is left where it or the image to keep is gone, or has other bytes than those that were compared."""
    change(copies)
    document = copies.move(target)
    assert (document["left"], document["moved"]) == (left, 2 - sum(left.values()))


def test_each_file_is_read_again_when_its_turn_comes(copies, target, monkeypatch):
    """A file that changes while others are moved is left."""
    move = moving._move
    monkeypatch.setattr(
        moving, "_move", lambda *args: (move(*args), (copies.folder / "b/copy.png").write_bytes(b"?"))[0]
    )
    assert copies.move(target)["left"] == {copy_files.CHANGED: 1}


def test_one_file_under_two_names(copies, target):
    """A link, symbolic or hard, to the image to keep is left: moving it would free nothing, or lose the image."""
    for name, link in (("hard.png", Path.hardlink_to), ("symbolic.png", Path.symlink_to)):
        copies.add(name).unlink()
        link(copies.folder / name, copies.folder / "keep.png")
    copies.group("keep.png", "hard.png", "symbolic.png")
    assert copies.move(target)["left"] == {copy_files.SAME_FILE: 1, copy_files.LINK: 1}


def test_a_link_that_is_made_meanwhile(copies, target, monkeypatch):
    """A copy to which the image to keep became a link, while the question waited, is left."""

    def link_and_agree(_question):
        remove_keeper(copies)
        (copies.folder / "keep.png").symlink_to("a/copy.png")
        return True

    monkeypatch.setattr("frieze.terminal.ask", link_and_agree)
    document = move_copies(copies.index, copies.document, target, yes=False)
    assert document["left"] == {copy_files.SAME_FILE: 1}


def test_a_keeper_behind_a_linked_folder(copies, target):
    """A copy that is the image to keep, through another name of its folder, is left."""
    (copies.folder.parent / "linked").symlink_to("photos")
    copies.rows.append(copies.rows[0] | {"id": "other", "uri": str(copies.folder.parent / "linked/keep.png")})
    copies.group("keep.png", "other")
    assert copies.move(target)["left"] == {copy_files.SAME_FILE: 1}


@pytest.mark.parametrize(
    "uri",
    ["s3://bucket/a.png", "memory:a", "https://host/a.png", "{}/shard.tar/a.png", f"{{}}/shard.tar/{'a' * 300}.png"],
)
def test_images_without_a_file(copies, target, uri):
    """Images in archives, buckets, on the web and in memory are left, whether they are copies or to be kept."""
    copies.add("shard.tar")
    copies.rows.append(copies.rows[0] | {"id": "other", "uri": uri.format(copies.folder)})
    copies.group("keep.png", "other")
    copies.group("other", "keep.png")
    assert copies.move(target)["left"] == {copy_files.NO_FILE: 1, copy_files.KEEPER: 1}


def test_a_row_without_sha256(copies, target):
    """An image of which the index does not know the bytes is left."""
    copies.add("c.png", sha256=None)
    copies.group("keep.png", "c.png")
    assert copies.move(target)["left"] == {copy_files.UNKNOWN: 1}


@pytest.mark.parametrize(("keep", "left"), [("id", {}), ("other", {copy_files.DECIDED: 1})])
def test_decisions_of_the_page(copies, target, monkeypatch, keep, left):
    """A copy that was decided to be kept on the page is left; one that was decided against is moved."""
    pytest.importorskip("pydantic")
    from frieze.web.decisions import DecisionLog, log_path
    from frieze.web.schemas import Decision

    monkeypatch.setattr("frieze.web.decisions.read_hashes", lambda *_: {"keep.png": "1", "a/copy.png": "2"})
    log = DecisionLog(log_path(copies.index.path))
    log.append(Decision(id="keep.png", other="a/copy.png", keep=keep), ("1", "2"))
    assert copies.move(target)["left"] == left


def test_decisions_that_cannot_be_read(copies, target, monkeypatch):
    """Where there are decisions and nothing to read them with, nothing is moved."""
    copies.index.path.with_name("photos.index.decisions.jsonl").touch()
    monkeypatch.setitem(sys.modules, "frieze.web.decisions", None)
    with pytest.raises(InputError, match="can't be read without") as caught:
        copies.move(target)
    assert (caught.value.hint, target.exists()) == ("Type: pip install 'frieze[web]'", False)


def test_a_folder_that_may_not_be_written(copies, target, monkeypatch):
    """A file that the system does not let go is left, and the next one is moved."""

    def refuse(source, target):
        if "a/" in str(source):
            raise PermissionError
        source.rename(target)

    monkeypatch.setattr(moving, "move_to_free_name", refuse)
    document = copies.move(target)
    assert (document["left"], document["moved"]) == ({moving.DENIED: 1}, 1)


@pytest.mark.parametrize("is_renamed", [False, True])
def test_a_kill(copies, target, monkeypatch, is_renamed):
    """A kill right before or after a rename leaves each file in one place, and undo puts all of them back."""
    before, rename = copies.files(), os.rename

    def kill(*args):
        if is_renamed:
            rename(*args)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", kill)
        patch.setattr("frieze.core.storage.move_to_free_name.drop_empty", lambda _: None)  # nothing is tidied up
        with pytest.raises(SystemExit):
            copies.move(target)
    assert sorted(data for data in copies.files().values() if data) == [b"picture"] * 3
    assert undo_moves(target)["moved_back"] == is_renamed
    assert copies.files() == before


def test_a_run_after_a_kill(copies, target, monkeypatch):
    """A run that follows a killed one takes another name for the file, and undo puts it back all the same."""
    before = copies.files()
    with monkeypatch.context() as patch:
        patch.setattr(moving, "move_to_free_name", lambda _, path: sys.exit(path.touch()))
        with pytest.raises(SystemExit):
            copies.move(target)
    assert copies.move(target)["moved"] == 2
    assert undo_moves(target)["left"] == {}
    assert copies.files() == before


def test_a_kill_while_moving_back(copies, target, monkeypatch):
    """Undo goes on where a kill ended it."""
    before = copies.files()
    copies.move(target)

    def kill(*_args):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", kill)
        patch.setattr("frieze.core.storage.move_to_free_name.drop_empty", lambda _: None)
        with pytest.raises(SystemExit):
            undo_moves(target)
    assert undo_moves(target)["moved_back"] == 2
    assert copies.files() == before


def test_a_torn_line(copies, target):
    """A line that a kill cut off is passed over, and the next move does not hang on to it."""
    target.mkdir()
    (target / LOG_NAME).write_text('{"from": "/x')
    copies.move(target)
    assert undo_moves(target)["moved_back"] == 2


def test_undo_leaves_what_is_not_as_it_was(copies, target):
    """What is gone from the folder, has changed there, or whose place is taken is left, with the reason."""
    copies.add("c.png")
    copies.group("keep.png", "c.png")
    copies.move(target)
    (target / "a/copy.png").unlink()
    (target / "b/copy.png").write_bytes(b"PICTURE")
    (copies.folder / "c.png").write_bytes(b"mine")
    document = undo_moves(target)
    assert document["left"] == {"the name is taken": 1, "changed since they were moved": 1, copy_files.MISSING: 1}
    assert ((copies.folder / "c.png").read_bytes(), document["moved_back"]) == (b"mine", 0)


def test_moved_twice(copies, target):
    """After an undo the same files can be moved into the same folder again, and back."""
    before = copies.files()
    for _ in range(2):
        assert copies.move(target)["moved"] == 2
        assert undo_moves(target) == {"moved_back": 2, "left": {}, "undo": str(target / LOG_NAME)}
    assert copies.files() == before


def test_undo_without_a_log(tmp_path):
    """A folder into which nothing was moved is refused."""
    with pytest.raises(InputError, match=r"frieze-moved\.jsonl can't be read"):
        undo_moves(tmp_path)


@pytest.mark.parametrize("answer", [True, False])
def test_the_question(copies, target, monkeypatch, answer):
    """On a terminal it says how many images and bytes go where; with no for an answer nothing is moved or written."""
    questions = []
    monkeypatch.setattr("frieze.terminal.ask", lambda question: questions.append(question) or answer)
    document = move_copies(copies.index, copies.document, target, yes=False)
    assert questions == [f"Move 2 images (14B) to {target}?"]
    assert (document["moved"], target.exists()) == (2 if answer else 0, answer)
    assert document["left"] == ({} if answer else {moving.DECLINED: 2})


def test_nobody_to_ask(copies, target):
    """Without a terminal, and without `yes`, it is refused with what to type."""
    with pytest.raises(InputError, match="there is no terminal") as caught:
        check_move(target, copies.index, yes=False)
    assert "`yes=True`" in caught.value.hint


def test_not_into_what_was_embedded(copies, monkeypatch):
    """A folder inside of the embedded one is refused: the next run would find the images there."""
    monkeypatch.setattr(moving, "source_folder", lambda _: copies.folder)
    with pytest.raises(InputError, match="is inside of"):
        check_move(copies.folder / "moved", copies.index, yes=True)


def test_not_into_a_file(copies):
    """A file is no folder to move into."""
    with pytest.raises(InputError, match="is not a folder"):
        check_move(copies.folder / "keep.png", copies.index, yes=True)


@pytest.fixture
def indexed(tmp_path):
    """A folder of two equal photographs and another, `photos`, with `copies.index` beside it."""
    import numpy as np
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for name, seed in (("a.png", 0), ("longer name.png", 0), ("c.png", 1)):
        pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
        os.utime(tmp_path / "photos" / name, (10**9, 10**9))
    frieze.embed(tmp_path / "photos", out=tmp_path / "photos.features")
    frieze.index(tmp_path / "photos.features", out=tmp_path / "photos.index")
    return tmp_path


def test_the_command(indexed, run, run_json):
    """The command moves what is advised, tells it on stderr and in JSON, and moves it back without the index."""
    index, target, photo = indexed / "photos.index", indexed / "moved", indexed / "photos/longer name.png"
    assert run("duplicates", index, "--move-to", target).exit_code == 1
    code, document = run_json("duplicates", index, "--move-to", target, "--yes", "--script", indexed / "move.sh")
    assert (document["script"], photo.name in (indexed / "move.sh").read_text()) == (str(indexed / "move.sh"), True)
    assert (code, document["moved"], document["left"], document["moved_to"]) == (0, 1, {}, str(target))
    assert not photo.exists()
    assert (target / photo.name).is_file()
    result = run("duplicates", "--undo", target)
    assert (result.exit_code, result.stderr) == (0, "Moved back 1 image.\n")
    assert photo.is_file()
    result = run("duplicates", index, "--move-to", target, "--yes")
    assert f"frieze duplicates --undo {target}" in result.stderr


def test_a_folder_that_is_empty_now(indexed, run):
    """A folder without files is named, since `frieze embed` keeps its rows; deleted, it is made again by --undo."""
    photos, features, target = (indexed / name for name in ("photos", "photos.features", "moved"))
    album = photos / "album of copies"
    album.mkdir()
    shutil.copy2(photos / "longer name.png", album)
    frieze.embed(photos, out=features)
    frieze.index(features, out=indexed / "photos.index", force=True)
    result = run("duplicates", indexed / "photos.index", "--move-to", target, "--yes")
    assert f"1 folder is empty now: {album}. Before frieze embed, delete what is empty" in result.stderr
    assert frieze.embed(photos, out=features)["rows"] == frieze.embed(photos, out=features)["unchanged"] + 1
    album.rmdir()
    rows = frieze.embed(photos, out=features)["rows"]
    assert rows == len(list(photos.iterdir()))
    run("duplicates", "--undo", target)
    assert len(list(album.iterdir())) == 1


@pytest.mark.parametrize("args", [[], ["photos.index", "--undo", "moved"]])
def test_an_index_or_undo(run, args):
    """The command takes an index or --undo; neither or both is wrong usage."""
    assert run("duplicates", *args).exit_code == 2


@pytest.mark.parametrize(("left", "code"), [({}, 0), ({copy_files.MISSING: 1}, 0), ({moving.DENIED: 1}, 3)])
def test_exit_codes(run, monkeypatch, left, code):
    """What is left by a rule is no failure; what the system refused ends with 3. Both are told on stderr."""
    monkeypatch.setattr("frieze.api.searching.undo_moves", lambda _: {"moved_back": 2, "left": left, "undo": "x"})
    result = run("duplicates", "--undo", "moved")
    expected = "".join(f"Left where they are: 1 image ({reason}).\n" for reason in left)
    assert (result.exit_code, result.stderr) == (code, f"Moved back 2 images.\n{expected}")
