"""`frieze look`: a folder of pictures, in the browser."""

import shutil
import socket
from pathlib import Path

import pytest

import frieze
from frieze.api import looking, serving


@pytest.fixture
def pages(monkeypatch, tmp_path):
    """The addresses at which a page was served; each server ends at once, as by Ctrl-C."""
    addresses = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("uvicorn.Server.run", lambda _, sockets: addresses.append(sockets[0].getsockname()[:2]))
    # It would close the handlers of other libraries, whose stream may be that of an earlier test.
    monkeypatch.setattr("uvicorn.Config.configure_logging", lambda _: None)
    return addresses


@pytest.fixture
def pictures(photos, tmp_path):
    """A folder of three pictures."""
    (tmp_path / "three").mkdir()
    for number in range(3):
        shutil.copy(photos / "red" / f"{number}.png", tmp_path / "three")
    return tmp_path / "three"


def test_three_pictures(pictures, pages, run):
    """The table and the index are beside the folder, and the page is served; the same again embeds what is new."""
    result = run("look", pictures, "--no-browser")
    assert (result.exit_code, len(pages)) == (0, 1)
    assert result.stdout.startswith(f"3 images in {pictures}.features.\n")
    shutil.copy(pictures / "0.png", pictures / "3.png")
    assert run("look", pictures, "--no-browser").stdout.startswith(f"4 images in {pictures}.features: 3 unchanged")
    assert frieze.info(Path(f"{pictures}.index"))["rows"] == 4


def test_the_browser(pictures, pages, monkeypatch):
    """The browser opens the address with its token where there is a desktop, and not in a terminal alone."""
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(looking.sys, "platform", "linux")
    frieze.look(pictures)
    monkeypatch.setenv("DISPLAY", ":0")
    frieze.look(pictures, port=0)
    assert len(opened) == 1
    assert opened[0].startswith(f"http://127.0.0.1:{pages[1][1]}/#token=")


def test_the_port_is_in_use(pictures, pages, monkeypatch):
    """Another look, or another program, has the usual port: any other one will do, unless a port was asked for."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(serving, "PORT", port)
        frieze.look(pictures, browser=False)
        assert pages[0][1] != port
        with pytest.raises(frieze.InputError, match="Can't listen"):
            frieze.look(pictures, port=port, browser=False)


def test_nothing_can_be_written_beside_it(pictures, pages, run, monkeypatch, tmp_path):
    """Then both are kept in the user's cache, which a line says; the same again finds them there."""
    monkeypatch.setattr(looking.os, "access", lambda *_: False)
    first, second = (run("look", pictures, "--no-browser") for _ in range(2))
    assert "can't be written: the table and the index are in " in first.stderr
    assert "3 unchanged" in second.stdout
    assert not list(tmp_path.glob("three.*"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder.mkdir(), "There is no image in"),
        (lambda folder: (folder.mkdir(), (folder / "a.jpg").write_text("text")), "has no pictures: 1 image can't be"),
        (lambda folder: folder.write_text("text"), "is no folder."),
        (lambda _: None, "is not there."),
        (lambda folder: (folder.mkdir(), (folder / "index.json").write_text("{}")), "it is an index."),
    ],
)
def test_no_pictures(pages, run, tmp_path, make, message):
    """A folder without pictures, with nothing but broken ones, and what is no folder are refused."""
    make(tmp_path / "folder")
    result = run("look", tmp_path / "folder", "--no-browser")
    assert (result.exit_code, pages) == (1, [])
    assert message in result.stderr


@pytest.mark.parametrize("stage", ["embed", "index", "open_page"])
def test_ctrl_c(pictures, pages, run, monkeypatch, stage):
    """Ctrl-C at any stage ends with 130, and the same command again completes it."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(looking, stage, interrupt)
        patched.setattr("signal.signal", lambda *_: None)
        assert run("look", pictures, "--no-browser").exit_code == 130
    assert run("look", pictures, "--no-browser").exit_code == 0
    assert len(pages) == 1
