"""The route of facets."""


def test_facets(page):
    """The page counts the values of each column, under the filter that is in the address."""
    document = page.get("/facets", params={"where": "id like '%/3.png'"}).json()
    assert (document["rows"], document["total"]) == (30, 3)
    label = next(facet for facet in document["facets"] if facet["column"] == "label")
    assert [(value["text"], value["count"]) for value in label["values"]] == [("blue", 1), ("green", 1), ("red", 1)]
    assert label["values"][0]["where"] == "id like '%/3.png' and label = 'blue'"


def test_no_filter(page):
    """An empty filter is none."""
    assert page.get("/facets?where=").json() == page.get("/facets").json()


def test_refused(page):
    """A filter that can't be used says what is wrong with it."""
    answer = page.get("/facets", params={"where": "colour = 3"})
    assert (answer.status_code, "colour" in answer.json()["detail"]) == (400, True)
