import copy
import os
import sqlite3
import subprocess
import sys

import duckdb
import numpy as np
import pytest

from frieze.core import ImageError, InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import open_source, read_image
from frieze.embedder.sources.tables import database as database_module

BYTES = "select name as id, data as image, kind as label, year from photos order by name"
PATHS = "select path, kind as label, year from photos order by path desc;"
N = 5


def image(number):
    """Create bytes that pass for an image, others for each number."""
    return b"\xff\xd8\xff\xe0" + np.random.default_rng(number).bytes(100 + number)


def fill(connection):
    """Create a table of photographs, as bytes and as paths."""
    binary = "blob"
    connection.execute(f"create table photos (name text, path text, data {binary}, kind text, year integer)")
    for n in range(N):
        row = (f"n{n}", f"in/{n}.jpg", image(n), ("cat", "dog", None)[n % 3], 2000 + n)
        connection.execute("insert into photos values (?, ?, ?, ?, ?)", row)
    connection.commit()
    connection.close()


@pytest.fixture(params=["a.db", "a.sqlite", "a.duckdb"])
def database(request, tmp_path):
    """A database of each kind, beside the files that it names."""
    (tmp_path / "in").mkdir()
    for n in range(N):
        (tmp_path / "in" / f"{n}.jpg").write_bytes(image(n))
    path = tmp_path / request.param
    fill((duckdb if path.suffix == ".duckdb" else sqlite3).connect(str(path)))
    return path


def listed(path, query, **options):
    """Open a source."""
    return open_source(str(path), SourceOptions(query=query, **options))


def rows(source, *names):
    """Return some columns of a source's listing, a tuple a row."""
    return [tuple(row[name] for name in names) for row in source.listing.images.to_pylist()]


def read(source, numbers):
    """Read images: their bytes, or the reason why there are none."""
    return [getattr(one, "reason", one) for one in source.read(np.array(numbers, np.int64))]


def test_bytes(database):
    """A column of bytes is its images, with ids, labels and columns, in any order and by uri alone."""
    source = listed(database, BYTES)
    expected = [(f"n{n}", ("cat", "dog", None)[n % 3], 2000 + n, 104 + n) for n in range(N)]
    assert rows(source, "id", "label", "year", "size_bytes") == expected
    assert read(source, range(N)) == [image(n) for n in range(N)]
    assert read(source, [3, 1, 2]) == [image(3), image(1), image(2)]
    assert [read_image(uri) for (uri,) in rows(source, "uri")] == [image(n) for n in range(N)]
    assert read(copy.deepcopy(source), [4]) == [image(4)]


def test_ids_of_bytes(database):
    """Without a column of ids an image is named by file and row; a row without bytes is a failure when it is read."""
    source = listed(database, "select case when year = 2001 then null else data end as image from photos order by year")
    assert rows(source, "id") == [(f"{database.name}/{n:06d}",) for n in range(N)]
    assert read(source, range(3)) == [image(0), "no bytes", image(2)]


def test_repeated_ids(database):
    """A repeated id is a failure, and the images after it keep their own bytes."""
    query = "select case when year < 2002 then 'old' else name end as id, data as image from photos order by name"
    source = listed(database, query)
    assert rows(source, "id") == [("old",), ("n2",), ("n3",), ("n4",)]
    assert [(one.id, one.reason) for one in source.listing.failures] == [("old", "repeated id")]
    assert read(source, range(4)) == [image(n) for n in (0, 2, 3, 4)]


def test_an_order_that_is_not_fixed(database):
    """Rows that come in another order when they are read are failures, not the images of other ids."""
    source = listed(database, "select name as id, data as image from photos order by random()")
    expected = {f"n{n}": image(n) for n in range(N)}
    for _ in range(5):
        ids = [name for (name,) in rows(source, "id")]
        for name, content in zip(ids, read(source, range(N)), strict=True):
            assert content in (expected[name], "changed")


@pytest.mark.parametrize("name", [b"\xff", b"a?b#c%20"])
def test_odd_folders(name, tmp_path):
    """A database in a folder of any name is read; a query that is no text is refused."""
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    fill(sqlite3.connect(folder / "a.db"))
    assert len(listed(folder / "a.db", BYTES).listing.images) == N
    with pytest.raises(InputError, match="can't be run on"):
        listed(folder / "a.db", "select '\udcff' as path")


ENDLESS = """
import os, signal, sys, threading
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import open_source

signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let their background jobs ignore it
query = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) as path from c"
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    open_source(sys.argv[1], SourceOptions(query=query))
except KeyboardInterrupt:
    print("ended")
"""


def test_ctrl_c_ends_an_endless_query(database):
    """Ctrl-C ends a query that never returns a row."""
    command = [sys.executable, "-c", ENDLESS, str(database)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout == "ended\n", done.stderr


def test_paths(database):
    """A column of paths is a manifest, relative to the folder of the database; a missing file is a failure."""
    (database.parent / "in" / "2.jpg").unlink()
    source = listed(database, PATHS)
    assert rows(source, "id", "label", "year") == [
        (f"in/{n}.jpg", ("cat", "dog", None)[n % 3], 2000 + n) for n in (4, 3, 1, 0)
    ]
    assert [(one.id, one.reason) for one in source.listing.failures] == [("in/2.jpg", "missing")]
    assert read(source, [0]) == [image(4)]


@pytest.mark.parametrize(
    "query",
    [
        "delete from photos",
        "attach database 'new.db' as other",
        "create table x (y integer)",
        "insert into photos (path) values ('in/0.jpg')",
        "copy photos to 'new.csv'",
        "select * from read_text('secret')",
    ],
)
def test_nothing_is_written_and_no_other_file_read(query, database, monkeypatch):
    """A query reads its own database and does nothing else."""
    monkeypatch.chdir(database.parent)
    (database.parent / "secret").write_text("x")
    before, files = database.read_bytes(), sorted(database.parent.iterdir())
    with pytest.raises(InputError, match=r"can't be run on|has no columns"):
        listed(database, query)
    assert (database.read_bytes(), sorted(database.parent.iterdir())) == (before, files)


def test_without_a_query(database):
    """A database without a query is refused with its tables and an example."""
    with pytest.raises(
        InputError, match=r"It has photos \(name, path, data, kind, year\)\.\n.*frieze embed .*--query 'select path"
    ):
        listed(database, None)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select nothing", "can't be run on"),
        ("select year from photos", "has no column of a common name"),
        ("select path, path from photos", "two of the same name"),
        ("select path from photos where year = 1", "returns no image"),
    ],
)
def test_mistaken_queries(query, message, database):
    """A query that can't give images is refused with what is wrong."""
    with pytest.raises(InputError, match=message):
        listed(database, query)


def test_query_of_another_source(tmp_path):
    """A query for what is no database is refused."""
    (tmp_path / "a.jpg").write_bytes(image(0))
    with pytest.raises(InputError, match="is no database, so `query` means nothing there"):
        listed(tmp_path, "select 1")


def test_duckdb_is_not_installed(tmp_path, monkeypatch):
    """Without the library a file of DuckDB says what to install."""
    fill(duckdb.connect(str(tmp_path / "a.duckdb")))
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(InputError, match=r"pip install 'frieze\[duckdb\]'"):
        listed(tmp_path / "a.duckdb", BYTES)


def test_changes_while_it_is_read(database):
    """A database that changes after it was listed is a failure of its images, and so is a row that is gone."""
    source = listed(database, BYTES)
    with pytest.raises(ImageError, match="holds no image"):
        read_image(f"{database}/x/y/z")
    if database.suffix == ".duckdb":
        database.write_bytes(database.read_bytes() + b"\0")
    else:
        with sqlite3.connect(database) as connection:
            connection.execute("update photos set data = ? where name = 'n0'", (image(9),))
    assert read(source, [0]) == ["changed"]


def test_a_writer_does_not_wait(tmp_path, monkeypatch):
    """While images of SQLite are embedded another program writes; what it changed is a failure, the rest is read."""
    monkeypatch.setattr(database_module, "_AHEAD_BYTES", 150)
    fill(sqlite3.connect(tmp_path / "a.db"))
    contents = listed(tmp_path / "a.db", BYTES).read(np.arange(N))
    assert next(contents) == image(0)
    with sqlite3.connect(tmp_path / "a.db", timeout=0) as writer:
        writer.execute("update photos set data = ? where name = 'n3'", (image(7),))
        writer.execute("insert into photos select 'n9', path, data, kind, year from photos limit 1")
    assert [getattr(one, "reason", one) for one in contents] == [image(1), image(2), "changed", image(4)]


def test_bytes_beside_paths(database):
    """Bytes beside a column of paths, such as thumbnails, are not kept as a column."""
    source = listed(database, "select path, data as thumbnail, year from photos order by path")
    assert rows(source, "id", "year") == [(f"in/{n}.jpg", 2000 + n) for n in range(N)]
    assert "thumbnail" not in source.listing.images.column_names


def test_one_image_is_read_by_its_row_alone(database, monkeypatch):
    """Reading the last image by its uri returns one row from the database, not all before it."""
    last = rows(listed(database, f"{BYTES};"), "uri")[-1][0]
    given, translated = [], database_module._translated
    monkeypatch.setattr(
        database_module, "_translated", lambda *of: (given.append(one) or one for one in translated(*of))
    )
    assert read_image(last) == image(N - 1)
    assert len(given) == 1
