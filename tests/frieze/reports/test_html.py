"""Pages that open without a server."""

import json
import re

import pytest
from PIL import Image

import frieze


@pytest.fixture
def search_document(tmp_path):
    """A search document with a picture, a lost one, and a hostile name."""
    Image.new("RGB", (300, 100), "red").save(tmp_path / "a.png")
    hits = [
        {"id": "a.png", "score": 1.0, "label": "red", "uri": str(tmp_path / "a.png")},
        {"id": "<script>alert(1)</script>", "score": 0.5, "label": None, "uri": str(tmp_path / "lost.png")},
    ]
    return {"queries": [{"query": "id:a.png", "hits": hits}]}


@pytest.fixture
def page(search_document, tmp_path):
    """The page written from `search_document`."""
    frieze.write_report(tmp_path / "page.html", title="A & B", found=search_document)
    return (tmp_path / "page.html").read_text()


def test_pictures_are_inside_the_page(page):
    """The page needs nothing else: every picture is in it, and nothing is fetched."""
    assert page.count("data:image/jpeg;base64,") == 1
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_names_are_escaped(page):
    """What comes from file names and titles is text, never markup."""
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<title>A &amp; B</title>" in page


def test_a_missing_picture_shows_the_reason(page):
    """In place of a missing image the page shows the reason."""
    assert '<div class="lost">unreadable</div>' in page


def test_the_query_is_shown_once(page):
    """A stored image that finds itself is the query, not a hit as well."""
    assert page.count("<figure") == 2
    assert page.count('<figure class="query">') == 1


@pytest.fixture
def report():
    """What report.json holds of a small head."""
    return {
        "head": "linear",
        "accuracy": 0.875,
        "confidence_interval": [0.5, 1.0],
        "macro_f1": 0.9,
        "expected_calibration_error": 0.01,
        "n_test": 8,
        "n_train": 32,
        "classes": ["a", "b"],
        "confusion": [[4, 1], [0, 3]],
        "per_class": [{"class": "a", "precision": 1.0, "recall": 0.8, "f1": 0.889, "n_test": 5}],
        "mistakes": [{"id": "x", "uri": "/no", "label": "a", "prediction": "b", "probability": 0.75}],
    }


def test_head_section_shows_the_figures(report, tmp_path):
    """Accuracy, the confusion matrix and the mistakes of report.json stand on the page."""
    (tmp_path / "report.json").write_text(json.dumps(report))
    frieze.write_report(tmp_path / "page.html", title="t", head=tmp_path)
    page = (tmp_path / "page.html").read_text()
    assert "<b>87.5%</b> on 8 held-out images (95 % interval 50.0% to 100.0%)" in page
    assert [re.findall(r">(\d+)</td>", row) for row in re.findall(r"<tr><th>[ab]</th>.*?</tr>", page)[1:]] == [
        ["4", "1"],
        ["0", "3"],
    ]
    assert "b (75%), labelled a: x" in page


def test_fine_tuned_beside_its_probe(report, tmp_path):
    """Of a fine-tuned head the page shows both sides' figures, each epoch, and which one is kept."""
    probe = {"accuracy": 0.5, "confidence_interval": [0.2, 0.8], "macro_f1": 0.45, "expected_calibration_error": 0.2}
    epoch = {"loss": 0.5, "accuracy": 0.75, "val_loss": 0.25, "val_accuracy": 1.0, "seconds": 2.0}
    epoch |= {"val_calibrated_loss": 0.125}
    tuned = {"probe": probe, "history": [{"val_loss": 0.9, "val_accuracy": 0.5}, epoch], "best_epoch": 1}
    (tmp_path / "report.json").write_text(json.dumps(report | tuned | {"unfrozen": "2 of 9 layers, from <top> on"}))
    frieze.write_report(tmp_path / "page.html", title="t", head=tmp_path)
    rows = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in (tmp_path / "page.html").read_text().split("<tr>")]
    assert ["probe", "50.0%", "20.0% to 80.0%", "0.450", "0.200"] in rows
    assert ["fine-tuned", "87.5%", "50.0% to 100.0%", "0.900", "0.010"] in rows
    assert ["0", "", "", "0.9000", "", "0.5000", ""] in rows
    assert ["1", "0.5000", "0.7500", "0.2500", "0.1250", "1.0000", "2.0000"] in [row[:7] for row in rows]
    assert "from &lt;top&gt; on</h3>" in (tmp_path / "page.html").read_text()


@pytest.fixture
def copies_page(tmp_path):
    """The page of a group of three, and of a set of look-alikes."""
    group = {"ids": ["a", "b", "c"], "uris": ["/a", "/b", "/c"], "keep": "a", "exact": False, "min_score": 0.5}
    kinds = [("b", "mirrored+cropped", 0.804), ("c", "same bytes", 1.0)]
    group["members"] = [
        {"id": name, "uri": f"/{name}", "kind": kind, "score": 0.5, "overlap": overlap} for name, kind, overlap in kinds
    ]
    look_alikes = [{"ids": ["d", "e"], "uris": ["/d", "/e"], "min_score": 0.9}]
    document = {"groups": [group], "look_alikes": look_alikes, "rows": 9, "n_duplicates": 2}
    frieze.write_report(tmp_path / "page.html", title="Duplicates", duplicates=document)
    return (tmp_path / "page.html").read_text()


def test_copies_are_explained(copies_page):
    """The one to keep comes first; under each copy stands how it differs, and what a crop shows of the picture."""
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", copies_page)
    assert captions[:3] == ["a", "b<br><b>mirrored+cropped, shows 80%</b>", "c<br><b>same bytes</b>"]
    assert copies_page.count('<figure class="keep">') == 1


def test_look_alikes_are_a_part_of_their_own(copies_page):
    """Look-alikes stand behind the groups, with the words that nothing is advised and without one to keep."""
    part = copies_page.partition("<h2>Look-alikes</h2>")[2]
    assert "nothing is advised about them" in part
    assert re.findall(r"<figcaption>(.*?)</figcaption>", part) == ["d", "e"]
    assert "keep" not in part


def test_an_earlier_document_of_duplicates(tmp_path):
    """A document of an earlier version, without members and look-alikes, is shown too."""
    group = {"ids": ["a", "b"], "uris": ["/a", "/b"], "keep": "a", "exact": True, "min_score": 1.0}
    document = {"groups": [group], "rows": 2, "n_duplicates": 1}
    frieze.write_report(tmp_path / "page.html", title="Duplicates", duplicates=document)
    assert "Look-alikes" not in (tmp_path / "page.html").read_text()
