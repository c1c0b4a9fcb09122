import datetime as dt

import pyarrow as pa
import pytest

from frieze.embedder.sources.tables.infer_types import infer_types, note_labels_like_missing


def typed(texts, names=("x",)):
    """Return the values of a column of texts that may change."""
    return infer_types(pa.table({"x": pa.array(texts, pa.string())}), names)["x"].to_pylist()


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1999", "-3", ""], [1999, -3, None]),
        (["0.5", "1", "-2.25"], [0.5, 1.0, -2.25]),
        (["0.5", "1.0", "2e-05"], [0.5, 1.0, 2e-05]),
        (["true", "false", ""], [True, False, None]),
        (["True", "False"], [True, False]),
        (["2024-05-06", ""], [dt.date(2024, 5, 6), None]),
        (["", ""], [None, None]),
        (["0.5", "NaN", "nan", "NA"], [0.5, None, None, None]),
        (["1999", "NULL", "<NA>"], [1999, None, None]),
        (["NA", "a"], ["NA", "a"]),
        (["None", "None"], ["None", "None"]),
    ],
    ids=str,
)
def test_types(texts, values):
    """Numbers, dates and yes or no, as programs and as Python write them, are what they say; a missing one is null."""
    actual = typed(texts)
    assert (actual, [type(one) for one in actual]) == (values, [type(one) for one in values])


@pytest.mark.parametrize(
    "text",
    [
        *("01234", "00", "+1", " 1", "1_000", "1,5"),
        *("1e5", "1.10", "0x10", "12345678901234567890", "0.12345678901234567890"),
        *("TRUE", "yes", "none", "NAN"),
        *("2024-5-6", "2024-05-06T07:08:09", "12:00"),
    ],
)
def test_what_would_change_stays(text):
    """A column with a value that would not be written back as it stood is text, with all its values as they were."""
    for others in ([], ["7", ""], ["0.5"], ["true"], ["2024-05-06"]):
        assert typed([text, *others]) == [text, *others]


def test_other_columns_stay():
    """Columns that are not named, or are no text, stay as they are."""
    assert typed(["1"], names=()) == ["1"]
    assert infer_types(pa.table({"x": [0.5]}), ["x"])["x"].to_pylist() == [0.5]


@pytest.mark.parametrize(("n_more", "end"), [(0, "nan (1)."), (1, "nan (1), ....")])
def test_five_spellings_are_listed(n_more, end):
    """A note lists five spellings of a missing value, with how many labels have each, and that there are more."""
    labels = ["<NA>", "N/A", "NA", "NA", "NULL", "nan", *["null"] * n_more, "cat"]
    (note,) = note_labels_like_missing(pa.chunked_array([labels]))
    assert f": <NA> (1), N/A (1), NA (2), NULL (1), {end} If" in note
