"""Mistakes by an audit and by retrained heads: what corrected labels change."""

import pytest
from fastapi.testclient import TestClient

from frieze.api.auditing import audit
from frieze.api.confirming import find_copies
from frieze.web.app import make_app
from frieze.web.collection import open_collection

KEY = "secret"


@pytest.fixture
def page(noisy, tmp_path):
    """The page of that index with a file of labels."""
    labels, thumbnails = tmp_path / "labels.parquet", tmp_path / "thumbnails"
    opened = open_collection(noisy, None, thumbnails, find_duplicates=find_copies, labels=labels)
    opened.mistakes.run_audit = audit
    yield TestClient(make_app(opened, token=KEY), base_url="http://localhost:8501")
    opened.close()


def ask(page, path, method="GET"):
    """Ask until what is made in the background is there; return the document."""
    while (answer := page.request(method, path)).status_code == 202:
        pass
    assert answer.status_code == 200, answer.text
    return answer.json()


def correct(page, **labels):
    """Label images as they should be."""
    for name, label in labels.items():
        document = {"ids": [name], "label": label, "session": "me"}
        assert page.post("/labels", json=document, headers={"x-frieze-token": KEY}).status_code == 200


@pytest.mark.slow
def test_audit(page):
    """The audit of the labels finds the wrong ones, with what they should be."""
    suggestions = {one["id"]: one["prediction"] for one in ask(page, "/mistakes?source=audit")["mistakes"]}
    assert suggestions.items() >= {"blue/0.png": "blue", "green/1.png": "green"}.items()


def test_retrain(page):
    """Retrained heads find the wrong labels; once these are corrected they find none, and the accuracy has grown."""
    first = ask(page, "/retrain", "POST")
    assert (first["n"], first["n_corrected"], first["n_confirmed"]) == (30, 0, 0)
    assert first["before"] == first["after"]
    listed = ask(page, "/mistakes?source=retrained")
    assert {one["id"]: (one["label"], one["prediction"]) for one in listed["mistakes"]} == {
        "blue/0.png": ("red", "blue"),
        "green/1.png": ("blue", "green"),
    }
    correct(page, **{"blue/0.png": "blue", "green/1.png": "green", "red/2.png": "red"})
    second = ask(page, "/retrain", "POST")
    assert (second["n_corrected"], second["n_confirmed"]) == (2, 1)
    assert second["after"]["accuracy"] == 1 > first["after"]["accuracy"]
    assert ask(page, "/mistakes?source=retrained")["total"] == 0


@pytest.mark.parametrize(
    ("source", "message"), [("head", "No head was given"), ("retrained", "Nothing was retrained"), ("luck", "source: ")]
)
def test_refused(page, source, message):
    """A list that is not there says how to have it."""
    answer = page.get(f"/mistakes?source={source}")
    assert (answer.status_code, message in answer.json()["detail"]) == (400, True)
