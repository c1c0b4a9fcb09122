import subprocess

import pytest

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions, read_labels
from frieze.embedder.sources.open import open_source

JPEG = b"\xff\xd8\xff\xe0"
N_IMAGES = 6


@pytest.fixture
def listed(tmp_path):
    """`listed(text, name)`: a manifest of this text beside six images, 0.jpg to 5.jpg, opened."""
    for number in range(N_IMAGES):
        (tmp_path / f"{number}.jpg").write_bytes(JPEG)

    def write_and_open(text, name="m.csv"):
        (tmp_path / name).write_text(text, newline="")
        return open_source(str(tmp_path / name), SourceOptions())

    return write_and_open


def column_of(source, column="label"):
    """Return a column of the listing's rows by id."""
    return {row["id"]: row[column] for row in source.listing.images.to_pylist()}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('path,label\n0.jpg,a\n1.jpg,"red\n2.jpg,b\n3.jpg,"white\n4.jpg,c\n', "line 3 is closed in line 5"),
        ('path,label\n0.jpg,"red\n1.jpg,b\n2.jpg,white"\n', "line 2 is closed in line 4"),
        ('path,label\n0.jpg,a\n1.jpg,"red\n2.jpg,b\n', "line 3 is never closed"),
        ('path,label\r\n0.jpg,"red\r\n1.jpg,white"\r\n', "line 2 is closed in line 3"),
        ('path,label\r0.jpg,"red\r1.jpg,white"\r', "line 2 is closed in line 3"),
        ('\n\nlabel;path\n"red;0.jpg\nwhite";1.jpg\n', "line 4 is closed in line 5"),
        ('path\n"0.jpg\n1.jpg"\n', "line 2 is closed in line 3"),
        ('path,note,year\n0.jpg,"ok, ""so""",1\n1.jpg,"a,2\n2.jpg,b",3\n', "line 3 is closed in line 4"),
    ],
)
def test_swallowed_rows(text, what, listed):
    """A quote that would make rows a part of a value is rejected, by the line that it stands in."""
    with pytest.raises(InputError, match=f"can't be read: the quote that opens a value in {what}") as error:
        listed(text)
    assert '"the ""big"" one"' in error.value.hint


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"one\ntwo"', "one\ntwo"),
        ('"A cat, asleep.\nIt purrs, too."', "A cat, asleep.\nIt purrs, too."),
        ('"the ""big""\none"', 'the "big"\none'),
        ('12" disk', '12" disk'),
        ('a "so" on', 'a "so" on'),
        ('""', ""),
    ],
)
def test_quotes_of_csv(value, expected, listed):
    """Other quotes are read as most programs read them, values over several lines among them."""
    source = listed(f"path,note\n0.jpg,{value}\n1.jpg,x\n")
    assert (column_of(source, "note"), source.notes) == ({"0.jpg": expected, "1.jpg": "x"}, ())


@pytest.mark.parametrize(
    ("value", "expected"),
    [('"big" one', "big one"), (r'"the \"big\" one"', r'the \big\" one"'), ('"one\n"two" three"', 'one\ntwo" three"')],
)
def test_quotes_around_a_part(value, expected, listed):
    """Quotes around a part of a value are read as most programs read them, and reported."""
    source = listed(f"path,note\n0.jpg,{value}\n1.jpg,x\n")
    assert (column_of(source, "note"), source.notes[0][:9]) == ({"0.jpg": expected, "1.jpg": "x"}, "Quotes in")


@pytest.mark.parametrize("name", ["m.tsv", "tabs.csv"])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (['"big', "b", 'red"'], ['"big', "b", 'red"']),
        (['"big', "b", "c"], ['"big', "b", "c"]),
        (['"so" on', '"x"', "c"], ['"so" on', '"x"', "c"]),
        (['"x"', '"the ""big"" one"', "c"], ["x", 'the "big" one', "c"]),
        (['"one\nmore"', "b", "c"], ["one\nmore", "b", "c"]),
    ],
)
def test_quotes_of_tsv(values, expected, name, listed):
    """In a TSV quotes are a part of the values, which is noted, unless all of them enclose one."""
    source = listed("path\tnote\n" + "".join(f"{n}.jpg\t{value}\n" for n, value in enumerate(values)), name)
    assert list(column_of(source, "note").values()) == expected
    assert [note.startswith("Quotes in") for note in source.notes] == [True] * (expected[0].startswith('"'))


def test_labels_file(listed, tmp_path):
    """A file of labels is read by the same rules."""
    (tmp_path / "l.csv").write_text('id,label\n0.jpg,"a\n1.jpg,b\n2.jpg,c"\n')
    with pytest.raises(InputError, match="line 2 is closed in line 4"):
        read_labels(tmp_path / "l.csv")
    (tmp_path / "l.tsv").write_text('id\tlabel\n0.jpg\t"a\n1.jpg\tb\n2.jpg\tc"\n')
    actual = read_labels(tmp_path / "l.tsv")
    assert (actual.labels.to_pylist(), len(actual.notes)) == (['"a', "b", 'c"'], 1)


@pytest.mark.parametrize(
    ("text", "swallows"),
    [
        ('17,"A cat.\nWell, it purrs."\n18,x\n', False),
        ('17,"big\n18,red"\n', True),
        ('00f3a2,"big\n77be01,b\nx9,red"\n', True),
        ('IMG_1,"one\ntwo"\n', False),
    ],
)
def test_ids_without_an_ending(text, swallows, tmp_path):
    """Where rows begin with ids, lines that begin alike are rows."""
    (tmp_path / "l.csv").write_text(f"id,label\n{text}")
    if swallows:
        with pytest.raises(InputError, match="line 2 is closed in line"):
            read_labels(tmp_path / "l.csv")
    else:
        assert "\n" in read_labels(tmp_path / "l.csv").labels[0].as_py()


@pytest.mark.parametrize("first", ["\n", "\n\r\n", "\ufeff\n", ",\n,,\n", '"",\n', " \n", "\nsep=,\n"])
def test_blank_first_lines(first, listed):
    """Lines with nothing in them before the header are skipped."""
    assert column_of(listed(f"{first}path,label\n0.jpg,a\n")) == {"0.jpg": "a"}


@pytest.mark.parametrize(
    ("text", "name", "label"), [("0.jpg,a\n1.jpg,b\n", "m.csv", "a"), ("a b\t0.jpg\nc\t1.jpg\n", "it's.tsv", "a b")]
)
def test_no_header(text, name, label, listed, tmp_path):
    """A table without names of columns is rejected with a command that adds them, which works."""
    with pytest.raises(InputError, match="no column of a common name") as error:
        listed(text, name)
    command = error.value.hint.partition("add the names of the columns: ")[2]
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    assert column_of(open_source(f"{tmp_path}/NEW{name[-4:]}", SourceOptions()))["0.jpg"] == label


def test_labels_without_header(tmp_path):
    """A file of labels without names of columns is rejected with that command, too."""
    (tmp_path / "l.csv").write_text("x/0.jpg,a\n")
    with pytest.raises(InputError, match=r"add the names of the columns: \(printf '%s\\n' path,label; cat"):
        read_labels(tmp_path / "l.csv")
