import csv
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import open_source

JPEG = b"\xff\xd8\xff\xe0" + bytes(100)
VIEW = pa.string_view()
OURS = ("id", "uri", "label", "size_bytes", "mtime_ns")
NAMES = ("a.jpg", "in/b.jpg")


@pytest.fixture
def folder(tmp_path):
    """A folder with `a.jpg`, `in/b.jpg` and `ü.jpg`."""
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "in/b.jpg", "ü.jpg"):
        (tmp_path / name).write_bytes(JPEG + name.encode())
    return tmp_path


@pytest.fixture
def listed(folder):
    """`listed(data, name="m.csv", **options)`: the source of a manifest with this content beside the images."""

    def write_and_open(data, name="m.csv", **options):
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return open_source(str(folder / name), SourceOptions(**options))

    return write_and_open


def rows(source, *names):
    """Return some columns of a source's listing, a tuple a row."""
    return [tuple(row[name] for name in names) for row in source.listing.images.to_pylist()]


def user_columns(source):
    """Return the user's own columns of each row."""
    return [
        {name: value for name, value in row.items() if name not in OURS} for row in source.listing.images.to_pylist()
    ]


def failures(source):
    """Return (id, reason) of what can't be listed."""
    return [(failure.id, failure.stage, failure.reason) for failure in source.listing.failures]


FORMS = {
    "m.csv": "id,path,label,year\n007,a.jpg,1,1999\n008,in/b.jpg,,2000\n",
    "m.tsv": "id\tpath\tlabel\tyear\n007\ta.jpg\t1\t1999\n008\tin/b.jpg\t\t2000\n",
    "semicolons.csv": "id;path;label;year\n007;a.jpg;1;1999\n008;in/b.jpg;;2000\n",
    "quoted.CSV": '"id","path","label","year"\r\n"007","a.jpg","1","1999"\r\n"008","in/b.jpg","","2000"\r\n',
    "bom.csv": "\ufeffid,path,label,year\n007,a.jpg,1,1999\n008,in/b.jpg,,2000\n",
    "dots.csv": "id,path,label,year\n007,./a.jpg,1,1999\n008,in/../in/b.jpg,,2000",
    "m.jsonl": '{"id": "007", "path": "a.jpg", "label": 1, "year": 1999}\n'
    '{"id": "008", "path": "in/b.jpg", "label": null, "year": 2000}\n',
    "m.ndjson": '{"id": "007", "path": "a.jpg", "label": "1", "year": 1999}\n\n'
    '{"id": "008", "path": "in/b.jpg", "year": 2000}',
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name, listed, folder):
    """Every form of manifest gives ids as written, labels as text, other columns as they look, and images."""
    source = listed(FORMS[name], name)
    facts = [(folder / path).stat() for path in ("a.jpg", "in/b.jpg")]
    assert rows(source, *OURS) == [
        ("007", f"{folder}/a.jpg", "1", facts[0].st_size, facts[0].st_mtime_ns),
        ("008", f"{folder}/in/b.jpg", None, facts[1].st_size, facts[1].st_mtime_ns),
    ]
    assert (user_columns(source), failures(source)) == ([{"year": 1999}, {"year": 2000}], [])
    assert list(source.read(np.array([0, 1]))) == [JPEG + b"a.jpg", JPEG + b"in/b.jpg"]


def test_ids_are_paths(listed):
    """Without a column of ids an image is named by its path as written, without detours."""
    source = listed("path\n./in/../a.jpg\nin//b.jpg\nü.jpg\n")
    assert rows(source, "id") == [("a.jpg",), ("in/b.jpg",), ("ü.jpg",)]


def test_absolute_paths(listed, folder):
    """A path may be absolute, or a file:// URL."""
    source = listed(f"path\n{folder}/a.jpg\nfile://{folder}/in/b.jpg\n")
    assert rows(source, "uri") == [(f"{folder}/a.jpg",), (f"{folder}/in/b.jpg",)]


def test_empty_id(listed):
    """A row whose id is empty is named by its path."""
    assert rows(listed("id,path\n,a.jpg\nx,in/b.jpg\n"), "id") == [("a.jpg",), ("x",)]


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ("file_name,Class", {}),
        ("photo,kind", {"image": "photo", "label": "kind"}),
        ("path,kind,filename", {"image": "path", "label": "kind"}),
        ("URI,Label", {}),
    ],
)
def test_names_of_columns(header, options, listed):
    """Columns of common names are found in any letters; others are named by options."""
    rest = "," * (header.count(",") - 1)
    assert rows(listed(f"{header}\na.jpg,cat{rest}\n", **options), "id", "label") == [("a.jpg", "cat")]


def test_no_labels(listed):
    """With --labels none the column of labels is one of the user's own."""
    source = listed("path,label\na.jpg,cat\n", labels="none")
    assert (rows(source, "label"), user_columns(source)) == ([(None,)], [{"source_label": "cat"}])


def test_user_columns(listed):
    """Own columns are numbers, dates and text; one that has the name of ours gets another."""
    row, _ = user_columns(listed("path,score,day,note,width\na.jpg,0.5,2024-05-06,NA,3\nin/b.jpg,1,2024-05-07,DE,4\n"))
    assert (row["score"], str(row["day"]), row["note"], row["source_width"]) == (0.5, "2024-05-06", "NA", 3)


def test_types_over_several_files(listed, folder):
    """Columns of several CSV files have one type, found over all of them."""
    listed("path,zip,n\na.jpg,99999,1\n", "1.csv")
    listed("path,zip,n\nin/b.jpg,01234,2\n", "2.csv")
    source = open_source(f"{folder}/*.csv", SourceOptions())
    assert user_columns(source) == [{"zip": "99999", "n": 1}, {"zip": "01234", "n": 2}]


@pytest.mark.parametrize("text", ["2024-05-06", "2024-05-06 07:08:09", "2024-05-06T07:08:09Z"])
def test_dates_in_json(text, listed):
    """What is text in JSON stays text, also where it looks like a date and lies in a list or an object."""
    row = {"day": text, "days": [text], "all": {"day": text, "n": 1}}
    assert user_columns(listed(json.dumps(row | {"path": "a.jpg"}), "m.jsonl")) == [row]


def test_values_across_lines(listed):
    """A quoted value may go over several lines."""
    assert user_columns(listed('path,note\na.jpg,"one\ntwo"\nin/b.jpg,x\n')) == [{"note": "one\ntwo"}, {"note": "x"}]


def test_column_without_a_name(listed):
    """The unnamed index column that pandas writes is kept, and in nobody's way."""
    assert rows(listed(",path,label\n0,a.jpg,cat\n1,in/b.jpg,dog\n"), "id", "label") == [
        ("a.jpg", "cat"),
        ("in/b.jpg", "dog"),
    ]


def test_dates_for_names(listed, folder):
    """A path or label of JSON that looks like a date stays as written."""
    (folder / "2024-05-06").write_bytes(JPEG)
    source = listed('{"path": "2024-05-06", "label": "2024-05-06"}\n', "m.jsonl")
    assert rows(source, "id", "label") == [("2024-05-06", "2024-05-06")]


def test_missing_keys(listed):
    """A key that a line of JSON lacks is null there."""
    lines = [{"path": "a.jpg"}, {"path": "in/b.jpg", "label": "dog", "tags": ["x", "y"]}]
    source = listed("\n".join(map(json.dumps, lines)), "m.jsonl")
    assert rows(source, "label") == [(None,), ("dog",)]
    assert user_columns(source) == [{"tags": []}, {"tags": ["x", "y"]}] or user_columns(source) == [
        {"tags": None},
        {"tags": ["x", "y"]},
    ]


def test_late_key(listed):
    """A key that first comes after many lines is a column all the same."""
    lines = [{"path": f"{number}.jpg"} for number in range(5000)] + [{"path": "a.jpg", "late": 3}]
    assert user_columns(listed("\n".join(map(json.dumps, lines)), "m.jsonl")) == [{"late": 3}]


def test_many_brackets(listed):
    """Brackets side by side, or in text, are no nesting."""
    lines = [{"path": "a.jpg", "box": [[1, 2]] * 50}, {"path": "in/b.jpg", "note": '[{\\"' * 50}]
    one, other = user_columns(listed("\n".join(map(json.dumps, lines)), "m.jsonl"))
    assert (one["box"], other["note"]) == ([[1, 2]] * 50, '[{\\"' * 50)


def test_parquet_of_paths(listed, folder):
    """A Parquet manifest of paths takes numbers for ids and dictionaries for labels."""
    columns = {
        "path": ["a.jpg", "in/b.jpg"],
        "id": [7, None],
        "label": pa.array(["cat", None]).dictionary_encode(),
        "day": pa.array([0, 1], pa.date32()),
    }
    pq.write_table(pa.table(columns), folder / "m.parquet")
    source = open_source(str(folder / "m.parquet"), SourceOptions())
    assert rows(source, "id", "label") == [("7", "cat"), ("in/b.jpg", None)]
    assert [str(row["day"]) for row in user_columns(source)] == ["1970-01-01", "1970-01-02"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (VIEW, "x"),
        (pa.binary_view(), b"x"),
        (pa.list_(VIEW), ["x", None]),
        (pa.large_list(VIEW), ["x"]),
        (pa.list_(VIEW, 2), ["x", "y"]),
        (pa.map_(VIEW, pa.list_(VIEW)), [("x", ["y"])]),
        (pa.struct({"x": pa.int8(), "y": pa.struct({"z": VIEW})}), {"x": 1, "y": {"z": "x"}}),
    ],
    ids=str,
)
def test_parquet_of_views(kind, value, folder):
    """Text and bytes that Arrow keeps as views, also in lists and structs, are what they are elsewhere."""
    columns = {"path": pa.array(["a.jpg", None, "in/b.jpg"], VIEW), "x": pa.array([value, None, value], kind)}
    pq.write_table(pa.table(columns), folder / "m.parquet")
    source = open_source(str(folder / "m.parquet"), SourceOptions())
    assert (rows(source, "id"), user_columns(source)) == ([("a.jpg",), ("in/b.jpg",)], [{"x": value}] * 2)


MISSING = ("", "NaN", "nan", "NA", "N/A", "n/a", "NULL", "null", "None", "<NA>", "#N/A")
"""As pandas, R and spreadsheets write a value that is not there."""


@pytest.mark.parametrize("name", ["m.csv", "m.tsv"])
@pytest.mark.parametrize("text", MISSING)
def test_missing_labels(text, name, listed):
    """In a CSV a spelled-out missing value is no label, and this is noted; any other spelling is a class."""
    lines = ["path,label", f"a.jpg,{text}", "in/b.jpg,none"]
    source = listed("\n".join(lines).replace(",", "\t" if name == "m.tsv" else ","), name)
    assert rows(source, "id", "label") == [("a.jpg", None), ("in/b.jpg", "none")]
    assert [text in note for note in source.notes] == [True] * bool(text)


@pytest.mark.parametrize("text", ["NaN", "null", "None"])
def test_labels_like_missing_values(text, listed, folder):
    """Where a form has a null of its own, a text is a class, and that it looks like none is said."""
    source = listed(f'{{"path": "a.jpg", "label": "{text}"}}\n{{"path": "in/b.jpg", "label": null}}\n', "m.jsonl")
    pq.write_table(pa.table({"path": ["a.jpg", "in/b.jpg"], "label": [text, None]}), folder / "m.parquet")
    (folder / text).mkdir()
    (folder / text / "c.jpg").write_bytes(JPEG)
    for one in (source, open_source(str(folder / "m.parquet"), SourceOptions())):
        assert rows(one, "id", "label") == [("a.jpg", text), ("in/b.jpg", None)]
        assert f"{text} (1)" in one.notes[0]
    assert text in open_source(str(folder), SourceOptions()).listing.images["label"].to_pylist()


def test_not_a_number(listed, folder):
    """A number that is none is no label, whatever writes it."""
    source = listed('{"path": "a.jpg", "label": NaN}\n{"path": "in/b.jpg", "label": 1.5}\n', "m.jsonl")
    pq.write_table(pa.table({"path": ["a.jpg", "in/b.jpg"], "label": [float("nan"), 1.5]}), folder / "m.parquet")
    for one in (source, open_source(str(folder / "m.parquet"), SourceOptions())):
        assert rows(one, "id", "label") == [("a.jpg", None), ("in/b.jpg", "1.5")]


@pytest.mark.parametrize("separator", [";", ",", "\t", "|"])
@pytest.mark.parametrize("first", ["sep={}", "SEP={}", '"sep={}"', "\ufeffsep={}"])
def test_excels_first_line(first, separator, listed):
    """Excel's line that says what stands between columns is obeyed, and no header."""
    lines = [first.format(separator), f"path{separator}label", f"a.jpg{separator}x,;y", ""]
    source = listed("\r\n".join(lines).replace("x,;y", "x,;y" if separator in "\t|" else "xy"))
    assert rows(source, "id", "label") == [("a.jpg", "x,;y" if separator in "\t|" else "xy")]


def test_values_of_several_types(listed):
    """A key that holds numbers in some lines and text in others is text; one of objects stays what it is."""
    lines = [
        {"path": "a.jpg", "label": 1, "m": {"a": 1}, "x": 1.5, "big": 2**70},
        {"path": "in/b.jpg", "label": "two", "m": None, "x": True, "big": 1},
    ]
    source = listed("\n".join(map(json.dumps, lines)), "m.jsonl")
    assert rows(source, "id", "label") == [("a.jpg", "1"), ("in/b.jpg", "two")]
    assert user_columns(source) == [
        {"m": {"a": 1}, "x": "1.5", "big": str(2**70)},
        {"m": None, "x": "True", "big": "1"},
    ]


def test_one_url(listed):
    """A URL of a kind that can't be read is a failure of its own; one of the web is an image like those on disk."""
    source = listed("path,label\na.jpg,a\nhttps://example.com/b.jpg,b\nftp://x/c.jpg,c\n")
    assert rows(source, "id", "label") == [("a.jpg", "a"), ("https://example.com/b.jpg", "b")]
    assert failures(source) == [("ftp://x/c.jpg", "list", "not on disk")]
    assert "download it first" in source.listing.failures[0].message


ODD_NAMES = (
    "100%.jpg",
    "a,b.jpg",
    "käse.jpg",
    "q'uo\"te.jpg",
    "space name.jpg",
    "a;b.jpg",
    "#x.jpg",
    "a%20b.jpg",
    "-.jpg",
)


@pytest.mark.parametrize("name", ["m.csv", "m.tsv", "m.jsonl", "m.parquet", "m.txt"])
def test_odd_names(name, folder):
    """Names with signs that mean something elsewhere are taken as they are, in every form."""
    for one in ODD_NAMES:
        (folder / one).write_bytes(JPEG)
    if name.endswith("sv"):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file, delimiter="\t" if name == "m.tsv" else ",").writerows(
                [["path"], *([one] for one in ODD_NAMES)]
            )
    elif name == "m.parquet":
        pq.write_table(pa.table({"path": ODD_NAMES}), folder / name)
    else:
        (folder / name).write_text(
            "\n".join(one if name == "m.txt" else json.dumps({"path": one}) for one in ODD_NAMES)
        )
    source = open_source(str(folder / name), SourceOptions())
    assert [one for (one,) in rows(source, "id")] == list(ODD_NAMES)
    assert list(source.read(np.arange(len(ODD_NAMES)))) == [JPEG] * len(ODD_NAMES)


def test_found_by_name(listed, folder):
    """Where no path leads to an image, they are looked for below the manifest's folder by name, and this is noted."""
    source = listed("path,label\nb.jpg,x\nset/gone.jpg,z\n")
    assert rows(source, "id", "uri", "label") == [("b.jpg", f"{folder}/in/b.jpg", "x")]
    assert failures(source) == [("set/gone.jpg", "list", "missing")]
    assert source.notes[0].endswith("they are found below its folder by file name.")
    assert rows(listed("path,label\nb,x\n"), "id", "uri") == [("b", f"{folder}/in/b.jpg")]


def test_two_files_of_one_name(listed, folder):
    """Where two files have the name, nobody knows which is meant: both are named."""
    (folder / "other").mkdir()
    (folder / "other" / "b.jpg").write_bytes(JPEG)
    message = r"by file name, and .*/in/b\.jpg and .*/other/b\.jpg share one\.\nWrite paths"
    with pytest.raises(InputError, match=message):
        listed("path\nb.jpg\n")


def test_several_manifests(folder, listed):
    """A glob of manifests is one source: columns of all, and paths relative to the folder of each."""
    listed("path,year\na.jpg,1999\n", "1.csv")
    listed("path,label\nb.jpg,dog\n", "in/2.csv")
    source = open_source(f"{folder}/**/*.csv", SourceOptions())
    assert rows(source, "uri", "label", "year") == [
        (f"{folder}/a.jpg", None, 1999),
        (f"{folder}/in/b.jpg", "dog", None),
    ]


def test_bad_rows(listed):
    """A row without a path, a missing file and a folder are failures; the other images are embedded."""
    source = listed("id,path\none,a.jpg\ntwo,\nthree,gone.jpg\nfour,in\nfive,\0.jpg\nsix,\0/a.jpg\n")
    assert rows(source, "id") == [("one",)]
    assert sorted(failures(source)) == [
        ("five", "list", "missing"),
        ("four", "list", "missing"),
        ("six", "list", "missing"),
        ("three", "list", "missing"),
        ("two", "list", "no path"),
    ]


def test_row_without_a_path(listed, folder):
    """A row without a path is named by its own id, else by its number; its uri is where it stands."""
    source = listed("id,path\nzero,a.jpg\none,\n,\n")
    assert [(one.id, one.uri) for one in source.listing.failures] == [
        ("one", f"{folder}/m.csv/1"),
        ("m.csv/2", f"{folder}/m.csv/2"),
    ]


def test_locked_folder(listed, folder, lock):
    """An image that exists but can't be read is unreadable, not missing."""
    (folder / "m.csv").write_text("path\na.jpg\nin/b.jpg\n")
    lock(folder / "in")
    source = open_source(str(folder / "m.csv"), SourceOptions())
    assert (rows(source, "id"), failures(source)) == ([("a.jpg",)], [("in/b.jpg", "list", "unreadable")])


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        ("id,path\nx,a.jpg\nx,in/b.jpg\n", "m.csv", r"names 1 id more than once: x\.\nMake the ids unique"),
        ("id,path\nx,\ny,a.jpg\nx,in/b.jpg\ny,\n", "m.csv", r"names 2 ids more than once: [xy], [xy]\."),
        ("path\na.jpg\n./a.jpg\n", "m.csv", r"names 1 id more than once: a\.jpg\."),
        ("x,y\n1,2\n", "m.csv", r"no column of a common name \(.*\); there are: x, y\.\n.*`image='COLUMN'`"),
        ("", "m.csv", r"no column of a common name .*there are: none"),
        ("path,path\na.jpg,a.jpg\n", "m.csv", r"m\.csv can't be read: its header names a column twice"),
        ("path,note\na.jpg,x,y\n", "m.csv", r"m\.csv can't be read: .*Expected 2 columns, got 3"),
        (b"path\n\xe9.jpg\n", "m.csv", r"m\.csv can't be read: .*utf-8.*Save it as UTF-8"),
        (b'{"path": "a.jpg"}\n{"path": "\xe9.jpg"}\n', "m.jsonl", r"can't be read: line 2: .*utf-8.*Save it as UTF-8"),
        ("path\n", "m.csv", r"There is no image in .*m\.csv: it is empty\.\n.*one row an image"),
        ('{"path": "a.jpg"}\n{"path": \n', "m.jsonl", r"m\.jsonl can't be read: line 2 is not one object"),
        ('{"path": "a.jpg"}\n\n{"path": }\n{"path"}', "m.jsonl", r"can't be read: line 3: .*Expecting value.*\nCheck"),
        ("[1, 2]\n", "m.jsonl", r"m\.jsonl can't be read"),
        (
            f'{{"path": "a.jpg", "x": {"[" * 5000}{"]" * 5000}}}',
            "m.jsonl",
            r"line 1 is nested 5001 deep; the limit is 32",
        ),
        ('{"path": "a.jpg"}\n{"path":\n"b.jpg"}\n', "m.jsonl", r"line 2 is not one object in braces"),
        ("no parquet", "m.parquet", r"m\.parquet can't be read"),
        ("path\nftp://x.org/a.jpg\n", "m.csv", r"ftp://x\.org/a\.jpg can't be read: .*\nDownload the images first"),
        (
            "path\nx.jpg\ny.jpg\n",
            "m.csv",
            r"None of the 2 images that .*m\.csv refers to exists: .*/x\.jpg\.\nPaths are relative",
        ),
    ],
)
def test_bad_manifests(data, name, message, listed):
    """A manifest that can't be used is rejected: what is wrong, and what to do."""
    with pytest.raises(InputError, match=f"(?s){message}"):
        listed(data, name)


def test_parquet_without_rows(folder):
    """A Parquet file that has columns and no row is empty."""
    for kind in (pa.string(), pa.binary()):
        pq.write_table(pa.table({"image": pa.array([], kind)}), folder / "m.parquet")
        with pytest.raises(InputError, match="it is empty"):
            open_source(str(folder / "m.parquet"), SourceOptions())


@pytest.mark.parametrize("option", ["image", "id", "label"])
def test_mistyped_column(option, listed):
    """A column that an option names and that does not exist is rejected, with those that are."""
    with pytest.raises(InputError, match=rf"has no column nosuch; there are: path, x\.\n.*`{option}='COLUMN'`"):
        listed("path,x\na.jpg,1\n", **{option: "nosuch"})


def test_types_that_differ(listed, folder):
    """Manifests whose columns of one name can't be one are rejected with the column."""
    listed('{"path": "a.jpg", "x": {"y": 1}}\n', "1.jsonl")
    listed('{"path": "in/b.jpg", "x": 3}\n', "2.jsonl")
    with pytest.raises(InputError, match=r"columns of the same name and different types: .*x"):
        open_source(f"{folder}/*.jsonl", SourceOptions())


def test_unreadable(listed, folder, monkeypatch):
    """A manifest that may not be read is rejected with the reason."""
    listed("path\na.jpg\n")
    denied = PermissionError(13, os.strerror(13))
    monkeypatch.setattr("frieze.embedder.sources.tables.read.open_uri", lambda _: (_ for _ in ()).throw(denied))
    with pytest.raises(InputError, match=r"m\.csv can't be read: Permission denied\."):
        open_source(str(folder / "m.csv"), SourceOptions())


LARGE = [2**63 + 1, 2**63 + 2]
"""Two that are one to a floating-point number."""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (LARGE, LARGE),
        ([LARGE[0], 5], [LARGE[0], 5]),
        ([2**53 + 1, 0.5], [str(2**53 + 1), "0.5"]),
        ([2**64, 5], [str(2**64), "5"]),
        ([-(2**63) - 1, 5], [str(-(2**63) - 1), "5"]),
        ([LARGE[0], -1], [str(LARGE[0]), "-1"]),
        ([1e22, 0.5], [1e22, 0.5]),
        ([{"n": 2**53 + 1}, {"n": 0.5}], [f'{{"n": {2**53 + 1}}}', '{"n": 0.5}']),
        ([[LARGE[0]], [1]], [str([LARGE[0]]), "[1]"]),
    ],
)
def test_large_numbers_in_json(values, expected, listed):
    """Whole numbers of JSON are exact, however large: as numbers where a type has room for all, else as text."""
    text = "".join(f'{{"path": "{name}", "x": {json.dumps(x)}}}\n' for name, x in zip(NAMES, values, strict=True))
    assert [row["x"] for row in user_columns(listed(text, "m.jsonl"))] == expected


def test_large_numbers_as_names(listed):
    """Ids and labels that are large whole numbers keep all their digits."""
    lines = [{"path": name, "id": n, "label": n} for name, n in zip(NAMES, LARGE, strict=True)]
    source = listed("\n".join(map(json.dumps, lines)), "m.jsonl")
    assert rows(source, "id", "label") == [(str(n), str(n)) for n in LARGE]


def test_numbers_as_names_in_parquet(folder):
    """Whole numbers that pandas stores as floating-point ones are ids with all their digits, or are rejected."""
    table = {"path": list(NAMES), "id": [20240101123456.0, 1e15 + 1]}
    pq.write_table(pa.table(table), folder / "m.parquet")
    source = open_source(str(folder / "m.parquet"), SourceOptions())
    assert rows(source, "id") == [("20240101123456",), ("1000000000000001",)]
    pq.write_table(pa.table(table | {"id": [1.0, 2.0**53]}), folder / "m.parquet")
    with pytest.raises(InputError, match=r"column id of .*m\.parquet holds double numbers such as 9007199254740992:"):
        open_source(str(folder / "m.parquet"), SourceOptions())
