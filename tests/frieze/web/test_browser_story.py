"""The page from end to end on photographs: find a class, label, teach, correct labels from the queue, keep, predict."""

import csv
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

import frieze
from frieze.api.auditing import audit
from frieze.api.confirming import find_copies
from frieze.web.collection import open_collection

pytestmark = pytest.mark.slow
KEY = "secret"
N_OF_CLASS, N_WRONG, MOST_DECIDED = 40, 12, 30
CLASS = "church"


@pytest.fixture(scope="module")
def photographs(data_dir, tmp_path_factory):
    """400 photographs of ten classes, of whose labels 12 are wrong: the folder of table and index."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(5)
    source = folder / "photos"
    for whole in sorted((data_dir / "images" / "imagenette_val").iterdir()):
        (source / whole.name).mkdir(parents=True)
        for path in sorted(whole.glob("*.jpg"))[:N_OF_CLASS]:
            shutil.copy(path, source / whole.name)
    ids = [f"{path.parent.name}/{path.name}" for path in sorted(source.glob("*/*.jpg"))]
    names = sorted({truth(name) for name in ids})
    wrong = set(rng.choice(len(ids), N_WRONG, replace=False).tolist())
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "label"])
        for number, name in enumerate(ids):
            others = [one for one in names if one != truth(name)]
            rows.writerow([name, rng.choice(others) if number in wrong else truth(name)])
    backbone = data_dir / "backbones" / "mobilenet_v2_100_224" / "saved_model"
    frieze.embed(source, out=folder / "f", labels=folder / "labels.csv", backbone=backbone)
    frieze.index(folder / "f", out=folder / "photos.index")
    return folder


def truth(name):
    """Return what an image shows."""
    return name.split("/")[0]


@pytest.fixture
def page(browser, served, photographs, tmp_path):
    """The page of these photographs; whatever fails in it fails the test."""
    files = {"labels": tmp_path / "labels.parquet"}
    collection = open_collection(
        photographs / "photos.index", None, tmp_path / "thumbnails", find_duplicates=find_copies, **files
    )
    collection.train_head, collection.mistakes.run_audit = frieze.train, audit
    with served(collection, token=KEY) as address:
        context = browser.new_context(viewport={"width": 1300, "height": 900})
        opened, complaints = context.new_page(), []
        opened.set_default_timeout(120_000)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.goto(f"{address}#token={KEY}")
        opened.wait_for_selector("#hits .tile")
        yield opened
        assert complaints == []
        context.close()


def wait_for(page, selector, pattern):
    """Wait until an element's text matches; return it."""
    page.wait_for_function(
        "([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.textContent)",
        arg=[selector, pattern],
    )
    return page.text_content(selector)


def titles(page, grid):
    """Return the ids of a grid's tiles."""
    return page.eval_on_selector_all(f"{grid} .tile", "tiles => tiles.map((tile) => tile.title)")


def give(page, ids, label):
    """Select images among the hits, and label them."""
    for name in ids:
        page.click(f'#hits .tile[title="{name}"]', modifiers=["Control"])
    wait_for(page, "#selected-count", f"^{len(ids)} images selected$")
    page.fill("#label-name", label)
    page.press("#label-name", "Enter")
    wait_for(page, "#selected-count", "^Nothing selected$")


def find_and_label(page, n=12):
    """Find images of a class by one of them, and label so many of it, and as many others."""
    page.fill("#name", f"{CLASS}/{next(name for name in titles_of_class(page))}")
    page.fill("#k", "100")
    page.press("#name", "Enter")
    wait_for(page, "#hits-title", "most similar")
    hits = titles(page, "#hits")
    give(page, [name for name in hits if truth(name) == CLASS][:n], CLASS)
    give(page, [name for name in hits if truth(name) != CLASS][:n], f"not {CLASS}")


def titles_of_class(page):
    """Return the file names of some images of the class, which the filter finds."""
    page.fill("#where", f"id like '{CLASS}/%'")
    page.press("#where", "Enter")
    wait_for(page, "#facets-words", r"^\d+ of 400 images$")
    wait_for(page, "#hits-title", r"of \d\d images")
    names = [name.split("/")[1] for name in titles(page, "#hits")]
    page.fill("#where", "")
    return names


def answer_questions(page):
    """Answer all questions that are shown, by key."""
    page.wait_for_selector("#questions .tile")
    names = titles(page, "#questions")
    for name in names:
        page.focus(f'#questions .tile[title="{name}"]')
        page.keyboard.press("1" if truth(name) == CLASS else "2")
        page.wait_for_function(  # the last answer brings other questions
            """(name) => [...document.querySelectorAll("#questions .tile")]
                .every((tile) => tile.title !== name || tile.querySelector(".given"))""",
            arg=name,
        )
    page.wait_for_function(
        "(name) => ![...document.querySelectorAll('#questions .tile')].some((tile) => tile.title === name)",
        arg=names[0],
    )


def is_right(page, photographs, head):
    """Return for each image that nobody labelled whether the page's head and a kept one are right about it."""
    teach = {"column": CLASS, "of": CLASS, "ask": 0, "n": 400}
    ranked = page.request.post(f"{page.url.partition('#')[0]}teach", data=teach).json()["ranked"]
    table = frieze.open_features(photographs / "f")
    names, _ = frieze.open_head(head).predict(table.embeddings())
    of_head = dict(zip(table.ids, names == CLASS, strict=True))
    unlabelled = [one for one in ranked if one["answer"] is None]
    is_of_class = np.array([truth(one["id"]) == CLASS for one in unlabelled])
    of_page = np.array([one["score"] > 0.5 for one in unlabelled])
    return of_page == is_of_class, np.array([of_head[one["id"]] for one in unlabelled]) == is_of_class


def test_teach_a_class(page, photographs, data_dir, tmp_path, run):
    """Find and label 12 images of a class among 400 and answer questions: the head is as good as that of `train`."""
    page.evaluate(f"location.hash = '#teach?name={CLASS}'")
    page.wait_for_selector("#questions .tile")
    page.click("nav a[href='#search']")
    wait_for(page, "#hits-title", "of 400 images")
    find_and_label(page)
    page.click("nav a[href='#teach']")
    page.evaluate(
        "document.querySelector('#questions').replaceChildren()"
    )  # else those of before the labels are answered
    page.click("#ask-me")
    for _ in range(2):
        answer_questions(page)
    wait_for(page, "#teach-accuracy", r"^Right on \d+ of \d+ images drawn at random")
    page.wait_for_selector("#curve:not([hidden]) circle")
    page.click("#keep")
    wait_for(page, "#kept-command", "^frieze train ")
    of_page, of_head = is_right(page, photographs, tmp_path / f"{CLASS}.head")
    assert of_page.mean() > 0.95
    assert abs(of_page.mean() - of_head.mean()) <= 0.02
    image = next((data_dir / "images" / "imagenette_val" / CLASS).glob("*.jpg"))
    assert run("predict", tmp_path / f"{CLASS}.head", image).exit_code == 0


def decide(page):
    """Decide about the image of the queue as somebody who knows what it shows; return whether there was one."""
    before = page.text_content("#queue-place")
    name = page.get_attribute("#queue-image", "alt")
    suggested, given = page.text_content("#queue-suggested"), page.text_content("#queue-given")
    page.keyboard.press({suggested: "a", given: "k"}.get(truth(name), "s"))
    page.wait_for_function(
        "(before) => document.querySelector('#queue').hidden"
        " || document.querySelector('#queue-place').textContent !== before",
        arg=before,
    )
    return not page.is_hidden("#queue")


def share(text):
    """Return the accuracies in what "Retrain" says, those before and after."""
    return [float(number) for number in re.findall(r"([\d.]+)\s%", text)[:2]]


def test_correct_labels(page, data_dir, tmp_path, run):
    """Wrong labels are corrected from the queue, the figure moves, and the head is kept and predicts."""
    page.click("nav a[href='#mistakes']")
    page.click("#retrain")
    wait_for(page, "#retrained-words", "^0 labels corrected")
    page.wait_for_function("() => document.querySelector('#mistakes-source').value === 'retrained'")
    page.wait_for_selector("#queue:not([hidden])")
    for _ in range(MOST_DECIDED):
        if not decide(page):
            break
    rows = pq.read_table(tmp_path / "labels.parquet").to_pylist()
    assert all(row["label"] == truth(row["id"]) for row in rows)
    page.click("#retrain")
    corrected = wait_for(page, "#retrained-words", "^[1-9]\\d* labels corrected")
    before, after = share(corrected)
    assert int(corrected.split()[0]) >= 10
    assert after > before
    page.wait_for_selector("#corrected-form:not([hidden])")
    page.click("#corrected-keep")
    wait_for(page, "#corrected-command", "^frieze train ")
    image = next((data_dir / "images" / "imagenette_val" / CLASS).glob("*.jpg"))
    result = run("predict", tmp_path / "corrected.head", image, "--json")
    assert result.exit_code == 0
