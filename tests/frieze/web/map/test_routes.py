"""The routes of the map; the judge is the document of `GET /map`."""

import numpy as np
import pytest

import frieze


@pytest.fixture
def points(later):
    """The document of the map."""
    return later("/map").json()


def around(points, rows):
    """Return a lasso around some points."""
    x, y = np.array(points["x"])[rows], np.array(points["y"])[rows]
    low_x, high_x, low_y, high_y = x.min() - 1e-3, x.max() + 1e-3, y.min() - 1e-3, y.max() + 1e-3
    return f"tsne:{low_x},{low_y};{high_x},{low_y};{high_x},{high_y};{low_x},{high_y}"


def test_points(page, points):
    """The bytes are the points of the document, and the headers say that so few images are laid out by PCA."""
    answer = page.get("/map/points")
    positions = np.frombuffer(answer.content, "<f4").reshape(-1, 2)
    assert positions == pytest.approx(np.array([points["x"], points["y"]]).T, abs=1e-4)
    assert (answer.headers["x-frieze-method"], float(answer.headers["x-frieze-kept"])) == (
        "pca",
        pytest.approx(points["kept"], abs=1e-4),
    )


def test_colours(page, points):
    """Each point has the colour of its label, whose names are those of the columns."""
    labels = next(one for one in page.get("/map/columns").json()["columns"] if one["column"] == "label")
    colours = np.frombuffer(page.get("/map/colours?column=label").content, np.uint8)
    assert [labels["texts"][colour] for colour in colours] == [points["labels"][code] for code in points["codes"]]


def test_predictions_are_columns(page, points, world):
    """With a head the map is coloured by its predictions, too."""
    table = frieze.open_features(world / "photos.features")
    predicted, probabilities = frieze.open_head(world / "photos.head").predict(table.embeddings())
    columns = {one["column"]: one["texts"] for one in page.get("/map/columns").json()["columns"]}
    colours = np.frombuffer(page.get("/map/colours?column=head:+prediction").content, np.uint8)
    assert [columns["head: prediction"][colour] for colour in colours] == list(predicted)
    bins = np.frombuffer(page.get("/map/colours?column=head:+probability").content, np.uint8)
    lowest = np.array([-np.inf, *map(float, columns["head: probability"][1:])])[bins]
    assert (lowest <= probabilities + 1e-5).all()


def test_images(page, points):
    """Points are asked for by number, in any order."""
    images = page.get("/map/images?points=7,2").json()["images"]
    assert [one["id"] for one in images] == [points["ids"][7], points["ids"][2]]


def test_a_lasso_is_a_filter(page, points):
    """A lasso confines the list, the counts and what passes on the map, together with a filter."""
    query = {"lasso": around(points, [3, 12]), "where": "label <> 'blue'"}
    listed = page.get("/images", params=query).json()
    passing = np.frombuffer(page.get("/map/passing", params=query).content, np.uint8)
    assert [one["id"] for one in listed["images"]] == [points["ids"][row] for row in np.flatnonzero(passing)]
    facets = page.get("/facets", params=query).json()
    assert (facets["total"], facets["rows"]) == (listed["total"], 30)
    everything = page.get("/images", params={"lasso": around(points, range(30))}).json()
    assert (everything["total"], 0 < listed["total"] < 30) == (30, True)


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/map/colours?column=nothing", "can't be coloured by nothing"),
        ("/map/images?points=30", "There is no such point."),
        ("/map/images?points=a", "points: "),
        ("/map/passing?where=colour+%3D+3", "colour"),
        ("/images?lasso=pca:0,0", "The lasso is no polygon"),
    ],
)
def test_refused(page, points, path, detail):
    """What there is not is refused with what is wrong."""
    answer = page.get(path)
    assert (answer.status_code, detail in answer.json()["detail"]) == (400, True)
