import numpy as np

from frieze.classifiers.label_audit.picture_outliers import find_unusual_pictures


def unusual(**changed):
    """Return kind -> rows of a collection of 200 usual pictures, some values changed by row."""
    rng = np.random.default_rng(0)
    columns = {
        "brightness": rng.normal(0.45, 0.1, 200).clip(0.15, 1),
        "sharpness": np.exp(rng.uniform(5, 7, 200)),
        "aspect": rng.choice([4 / 3, 3 / 4, 3 / 2], 200),
    }
    for name, values in changed.items():
        for row, value in values.items():
            columns[name][row] = value
    return {kind: (rows.tolist(), scores) for kind, rows, scores in find_unusual_pictures(columns)}


def test_usual():
    """In a collection of usual pictures none is listed, portraits among landscapes neither."""
    assert [rows for rows, _ in unusual().values()] == [[], [], []]


def test_unusual():
    """A dark, a blurred and a very wide picture are listed, each by its kind; a bright or sharp one is not."""
    results = unusual(
        brightness={3: 0.02, 4: 1.0}, sharpness={7: 1.0, 8: 1e5, 9: 0.0}, aspect={11: 4.0, 12: 0.25, 13: np.nan}
    )
    assert {kind: rows for kind, (rows, _) in results.items()} == {"dark": [3], "blurred": [7, 9], "odd_size": [11, 12]}
    assert all(((scores > 0) & (scores < 1)).all() for _, scores in results.values())
    assert results["blurred"][1][1] > results["blurred"][1][0]


def test_uniform():
    """Where all pictures are alike, small differences are not unusual; nothing known is nothing unusual."""
    columns = {name: np.full(50, value) for name, value in (("brightness", 0.5), ("sharpness", 100), ("aspect", 1.0))}
    columns["brightness"][0], columns["aspect"][1] = 0.4, 1.2
    assert all(not len(rows) for _, rows, _ in find_unusual_pictures(columns))
    assert not list(find_unusual_pictures(dict.fromkeys(columns, np.full(3, np.nan))))
