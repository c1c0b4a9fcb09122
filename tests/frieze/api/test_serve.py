"""`frieze serve`: what it refuses, and a real server that starts and stops cleanly."""

import re
import signal
import socket
import subprocess
import sys

import httpx2
import pytest
from fastapi.testclient import TestClient

import frieze


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("{features}", "is a table of features; expected an index", ""),
        ("{nothing}", "There is no", ""),
        ("{index} --head {index}", "is an index; expected a head", ""),
        ("{index} --host 203.0.113.7", "Can't listen on 203.0.113.7", "Use an address of this machine as --host."),
        ("{index} --host no..host", "Can't listen on no..host", "Use an address of this machine as --host."),
        ("{index} --port {taken}", "Can't listen on 127.0.0.1", "Use another --port, or --port 0 for any."),
    ],
)
def test_what_can_not_be_served(world, run, tmp_path, line, message, hint):
    """What is no index, and a port that can't be had, is refused with what to type."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        paths = {kind: world / f"photos.{kind}" for kind in ("features", "index")}
        line = line.format(nothing=tmp_path / "none", taken=other.getsockname()[1], **paths)
        result = run("serve", *line.split())
    assert result.exit_code == 1
    assert message in result.stderr
    assert hint in result.stderr


def test_web_is_not_there(world, run, monkeypatch):
    """Where the extra is not installed, it says what to type."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "fastapi" else name)
    result = run("serve", world / "photos.index")
    assert result.exit_code == 1
    assert "The page needs fastapi.\nType: pip install 'frieze[web]'" in result.stderr


def test_the_name_it_was_given(world, monkeypatch, tmp_path):
    """The page is served under the name that --host gives, whatever address that name has."""
    made = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: made.append(server.config.app))
    monkeypatch.setattr("frieze.api.serving._listening", lambda _, port: socket.create_server(("127.0.0.1", port)))
    frieze.serve(world / "photos.index", host="Photos.example", port=0)
    for name, status in (("photos.example", 200), ("other.example", 421)):
        assert TestClient(made[0], base_url=f"http://{name}:1").get("/collection").status_code == status


def test_the_token(world, monkeypatch, tmp_path, capsys):
    """The address that is printed has the token that writing needs; where decisions are stored is told."""
    made = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: made.append(server.config.app))
    frieze.serve(world / "photos.index", port=0)
    printed = capsys.readouterr().err
    page = TestClient(made[0], base_url=re.search(r"30 images at (http://127\.0\.0\.1:\d+)/#token=", printed)[1])
    token = re.search(r"#token=(\S{20,}) \(Ctrl-C", printed)[1]
    decision = {"id": "none", "other": "red/0.png", "keep": "id"}
    for sent, status in ((token, 400), ("guessed", 403)):
        assert page.post("/decisions", json=decision, headers={"x-frieze-token": sent}).status_code == status
    assert f"Decisions on duplicates are stored in {world / 'photos.index.decisions.jsonl'}" in printed


def test_ctrl_c_ends_it(world, tmp_path, monkeypatch, run):
    """Ctrl-C is the way to end a page: exit code 0, and its address is said to be closed."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("uvicorn.Server.run", interrupt)
    result = run("serve", world / "photos.index", "--port", "0")
    assert result.exit_code == 0
    closed = r"The page at http://127\.0\.0\.1:\d+ is closed; the same command opens it again\.\n"
    assert re.search(closed, result.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_starts_and_stops(world, tmp_path, ended_by):
    """It prints its address, answers there without TensorFlow, and stops at once on a signal."""
    code = "from frieze.cli.main import main; main()"
    line = [sys.executable, "-X", "importtime", "-c", code, "serve", str(world / "photos.index"), "--port", "0"]
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment) as server:
        lines = []
        for text in server.stderr:
            lines.append(text)
            if actual := re.search(r"30 images at (http://127\.0\.0\.1:\d+)", text):
                break
        (hit,) = httpx2.get(f"{actual[1]}/search?id=red/0.png&k=1").json()["queries"][0]["hits"]
        assert hit["id"] == "red/0.png"
        server.send_signal(ended_by)
        lines += server.stderr.readlines()
    assert server.returncode in {signal.SIGINT: (0,), signal.SIGTERM: (0, -ended_by)}[ended_by]
    assert not [text for text in lines if "Traceback" in text]
    assert not [text for text in lines if re.search(r"\| +tensorflow$", text)]
