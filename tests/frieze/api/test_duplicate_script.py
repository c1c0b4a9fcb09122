"""`frieze duplicates --script`: a shell script to review."""

import subprocess

import pytest

from frieze.api.duplicate_script import check_script, write_script
from frieze.core import FeatureFileError

HOSTILE = ["it's $(touch x) `touch x` \\.png", "line\ntouch x\n.png", "-n.png", "#\r\n\ttouch x;.png"]


@pytest.fixture
def script(tmp_path):
    """The file to write."""
    return tmp_path / "move.sh"


def run_script(script):
    """Run a script in its folder."""
    return subprocess.run(["sh", script.name], cwd=script.parent, check=True, capture_output=True, text=True)


def test_it_moves_the_copies(copies, script):
    """Run as it is, the script moves each copy into ./duplicates, and the image to keep stays."""
    write_script(script, copies.index, copies.document)
    assert run_script(script).stderr == ""
    assert copies.files().keys() == {"move.sh", "photos/keep.png", "duplicates/a/copy.png", "duplicates/b/copy.png"}


def test_nothing_is_overwritten(copies, script):
    """A file that is in ./duplicates already stays, and so does the copy."""
    write_script(script, copies.index, copies.document)
    mine = script.parent / "duplicates/a/copy.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    subprocess.run(["sh", script.name], cwd=script.parent, check=False)
    assert (mine.read_bytes(), (copies.folder / "a/copy.png").read_bytes()) == (b"mine", b"picture")


def test_hostile_names(copies, script):
    """Quotes, line ends, commands and leading dashes in names are names: the files are moved, and nothing else runs."""
    for name in HOSTILE:
        copies.add(name)
        copies.add(f"{name}.keep")
        copies.group(f"{name}.keep", name)
    write_script(script, copies.index, copies.document)
    run_script(script)
    expected = {f"duplicates/{name}" for name in [*HOSTILE, "a/copy.png", "b/copy.png"]}
    assert {name for name in copies.files() if name.startswith("duplicates/")} == expected
    assert not (script.parent / "x").exists()


def test_each_copy_is_explained(copies, script):
    """Above each command stands the kind of copy, what it shows and of which image; below it the one that deletes."""
    copies.document["groups"][0]["members"][0] |= {"kind": "mirrored+cropped", "overlap": 0.8}
    write_script(script, copies.index, copies.document)
    lines = script.read_text().splitlines()
    source = copies.folder / "a/copy.png"
    at = lines.index(f"mv -n -- {source} ./duplicates/a/copy.png")
    assert f'# mirrored+cropped, shows 80% of "{copies.folder}/keep.png"' in lines[:at]
    assert lines[at + 1] == f"# rm -- {source}"


def test_what_is_not_in_it_is_counted(copies, script):
    """The head says how many copies are left out, and why."""
    copies.add("c.png", sha256=None)
    copies.group("keep.png", "c.png")
    write_script(script, copies.index, copies.document)
    assert "# Not in here: 1 copy (the index has no sha256 of them)." in script.read_text()


def test_the_image_to_keep_is_not_in_it(copies, script):
    """A copy that is the same file as the image to keep, under another name, has no command."""
    copies.add("hard.png").unlink()
    (copies.folder / "hard.png").hardlink_to(copies.folder / "keep.png")
    copies.group("keep.png", "hard.png")
    write_script(script, copies.index, copies.document)
    assert "hard.png" not in script.read_text()


def test_force_replaces_scripts_only(copies, script):
    """A script is replaced with `force` only, and another file never."""
    write_script(script, copies.index, copies.document)
    check_script(script, force=True)
    with pytest.raises(FeatureFileError, match="already exists") as refused:
        check_script(script, force=False)
    assert refused.value.hint == "Use another `script`, or `force=True` to replace it."
    script.write_text("mine")
    with pytest.raises(FeatureFileError, match="no script written by Frieze"):
        check_script(script, force=True)
