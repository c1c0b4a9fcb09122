import contextlib
import io
import json
import os
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frieze.core import ImageError, InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.archives import tar as tar_module
from frieze.embedder.sources.open import open_source, read_image
from frieze.features import open_features

JPEG = b"\xff\xd8\xff\xe0"


def write_tar(path, members, archive_format=tarfile.PAX_FORMAT):
    """Write an archive of (name, bytes) or (name, bytes, facts of a TarInfo)."""
    with tarfile.open(path, "w", format=archive_format) as archive:
        for name, data, *facts in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for key, value in (facts[0] if facts else {}).items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(data))
    return path


def image(number, size_bytes=700):
    """Create bytes that pass for an image, others for each number."""
    return JPEG + np.random.default_rng(number).bytes(size_bytes)


@pytest.fixture
def listed(tmp_path):
    """`listed(members, **options)`: an archive `a.tar` of these, opened."""

    def write_and_open(members, **options):
        return open_source(str(write_tar(tmp_path / "a.tar", members)), SourceOptions(**options))

    return write_and_open


def rows(source):
    """Return id -> row of a source's listing."""
    return {row["id"].removeprefix("a.tar/"): row for row in source.listing.images.to_pylist()}


def failures(source):
    """Return id -> reason of what can't be listed."""
    assert {failure.stage for failure in source.listing.failures} <= {"list"}
    return {failure.id.removeprefix("a.tar/"): failure.reason for failure in source.listing.failures}


def contents(source):
    """Read all images."""
    return list(source.read(np.arange(len(source.listing.images))))


@pytest.mark.parametrize("archive_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_agrees_with_tarfile(archive_format, tmp_path):
    """Names, sizes and bytes are those that tarfile extracts, whatever the form of the headers."""
    names = ["a.jpg", "two words/größe 🎈.png", "d" * 90 + "/" + "long" * 24 + ".jpg", "100%.gif", "two\nlines.JPG"]
    members = [(name, image(number, 300 * number)) for number, name in enumerate(names)]
    path = write_tar(tmp_path / "a.tar", members, archive_format)
    source = open_source(str(path), SourceOptions())
    with tarfile.open(path) as archive:
        expected = {member.name: archive.extractfile(member).read() for member in archive}
    assert dict(zip(rows(source), contents(source), strict=True)) == expected
    assert {name: row["size_bytes"] for name, row in rows(source).items()} == {k: len(v) for k, v in expected.items()}


def test_facts(listed, tmp_path):
    """A row has the archive's path and the member's name, its size, and the time of the archive."""
    source = listed([("c/a.jpg", image(1), {"mtime": 1_500_000_000})])
    assert rows(source)["c/a.jpg"] == {
        "id": "a.tar/c/a.jpg",
        "uri": f"{tmp_path}/a.tar/c/a.jpg",
        "label": "c",
        "size_bytes": 704,
        "mtime_ns": (tmp_path / "a.tar").stat().st_mtime_ns,
    }
    assert source.in_order


SAMPLES = [
    *(("000.jpg", image(0)), ("000.cls", b"9\n"), ("000.json", b'{"year": 1999, "place": "Bonn"}')),
    *(("d.x/001.png", image(1)), ("d.x/001.CLS", b"owl"), ("d.x/001.txt", b"an owl\n")),
    *(("002.jpg", image(2)), ("002.left.jpg", image(3)), ("002.json", b'{"year": 2001}')),
]


@given(members=st.permutations(SAMPLES))
@settings(max_examples=25)
def test_samples(members, tmp_path_factory):
    """Members with an image's name up to the first dot tell its label and columns, in whatever order they lie."""
    path = write_tar(tmp_path_factory.mktemp("tar") / "a.tar", members)
    source = open_source(str(path), SourceOptions())
    listed_rows = {name: (row["label"], row["year"], row["place"], row["txt"]) for name, row in rows(source).items()}
    assert listed_rows == {
        "000.jpg": ("9", 1999, "Bonn", None),
        "d.x/001.png": ("owl", None, None, "an owl\n"),
        "002.jpg": (None, 2001, None, None),
        "002.left.jpg": (None, 2001, None, None),
    }
    assert list(rows(source)) == [name for name, _ in members if name.endswith(("jpg", "png"))]


@pytest.mark.parametrize(
    ("texts", "options", "label", "columns"),
    [
        ({"cls": b" 7\n", "json": b'{"label": "b"}'}, {}, "7", {"source_label": "b"}),
        ({"json": b'{"label": "b", "class": 3}'}, {}, "b", {"class": 3}),
        ({"json": b'{"label": "", "class": 3}'}, {}, "3", {"source_label": ""}),
        ({"json": b'{"label": ["a", "b"]}'}, {}, None, {"labels": ["a", "b"]}),
        ({"cls": b"7", "json": b'{"kind": "owl"}'}, {"label": "kind"}, "owl", {"cls": "7"}),
        ({"cls": b"7", "txt": b"x"}, {"labels": "none"}, None, {"cls": "7", "txt": "x"}),
        ({"cls": b"\xff"}, {}, "\\xff", {}),
        ({}, {}, "folder", {}),
        ({}, {"labels": "none"}, None, {}),
    ],
)
def test_labels(texts, options, label, columns, listed):
    """The label is what was requested, else the .cls, the .json's label or class, the folder; the rest are columns."""
    members = [("folder/a.jpg", image(1)), *((f"folder/a.{ending}", text) for ending, text in texts.items())]
    row = rows(listed(members, **options))["folder/a.jpg"]
    assert row["label"] == label
    assert {name: row[name] for name in row if name not in ("id", "uri", "label", "size_bytes", "mtime_ns")} == columns


def test_chosen_id(listed):
    """A key of the .json names the images; one that has none is named by its place."""
    source = listed([("a.jpg", image(1)), ("a.json", b'{"key": 5}'), ("b.jpg", image(2))], id="key")
    assert list(rows(source)) == ["5", "b.jpg"]


@pytest.mark.parametrize("option", ["id", "label", "image"])
def test_mistyped_option(option, listed):
    """An option that names what no image has is rejected, with the names that there are."""
    members = [("a.jpg", image(1)), ("a.json", b'{"year": 1}')]
    with pytest.raises(
        InputError, match=rf"No image has a key nmae; there are: jpg(, year)?\.\nName .* with `{option}`"
    ):
        listed(members, **{option: "nmae"})


def test_image_option(listed):
    """Of several images a sample, one can be chosen; the others are counted."""
    source = listed([("a.jpg", image(1)), ("a.seg.png", image(2)), ("a.cls", b"5")], image="seg.png")
    assert (list(rows(source)), source.listing.n_ignored) == (["a.seg.png"], 1)
    assert rows(source)["a.seg.png"]["label"] == "5"


@pytest.mark.parametrize("text", [b'{"year": ', b'{"a": "\xff"}', b'{"a": "\\uD800"}', b"[" * 100_000])
def test_broken_json(text, listed):
    """A .json that can't be read is one failure, under its own name; its images stay, without it."""
    source = listed([("a.jpg", image(1)), ("a.b.jpg", image(2)), ("a.cls", b"5"), ("a.json", text)])
    assert [(one.id, one.reason) for one in source.listing.failures] == [("a.tar/a.json", "damaged json")]
    assert {name: row["label"] for name, row in rows(source).items()} == {"a.jpg": "5", "a.b.jpg": "5"}


@pytest.mark.parametrize(
    ("document", "columns"),
    [
        ({"box": [1, 2], "tags": []}, {"box": [1, 2], "tags": []}),
        ({"boxes": [{"x": 1}], "person": {"name": "Zoë"}}, {"boxes": '[{"x": 1}]', "person": '{"name": "Zoë"}'}),
        (["a", 1], {"json": '["a", 1]'}),
        ({"emoji": "\N{BALLOON}"}, {"emoji": "\N{BALLOON}"}),
    ],
)
def test_forms_of_json(document, columns, listed):
    """Lists of values stay lists; what has a form of its own is kept as JSON."""
    row = rows(listed([("a.jpg", image(1)), ("a.json", json.dumps(document).encode())]))["a.jpg"]
    assert {name: row[name] for name in columns} == columns


def test_other_members_are_counted(listed):
    """What is no image and belongs to none is counted by format, what is hidden apart; folders are not."""
    others = ["README.txt", "b.cls", "a.npy", "._a.jpg", "pipe.jpg", "c/a.json"]
    data = {"c/a.json": b" " * ((1 << 20) + 1), "pipe.jpg": b""}
    facts = {"pipe.jpg": {"type": tarfile.FIFOTYPE}}
    members = [(name, data.get(name, b"text"), facts.get(name, {})) for name in others]
    source = listed([("c", b"", {"type": tarfile.DIRTYPE}), ("c/a.jpg", image(1)), *members])
    assert (list(rows(source)), failures(source), source.listing.n_ignored) == (["c/a.jpg"], {}, 5)
    formats = {".txt": 1, ".npy": 1, ".jpg": 1, ".json": 1, ".cls": 1}
    assert (source.listing.ignored, source.listing.n_hidden) == (formats, 1)


def test_first_bytes(listed):
    """A member is an image by its name or its signature; one that only claims to be fails when it is read."""
    source = listed([("noextension", image(1)), ("b.txt", image(2)), ("c.jpg.bak", image(3)), ("d.jpg", b"text")])
    assert list(rows(source)) == ["noextension", "b.txt", "c.jpg.bak", "d.jpg"]
    content = contents(source)
    assert content[:3] == [image(1), image(2), image(3)]
    assert (content[3].stage, content[3].reason) == ("decode", "not an image")


@pytest.mark.parametrize(("kind", "target"), [(tarfile.SYMTYPE, "../c/a.jpg"), (tarfile.LNKTYPE, "c/a.jpg")])
def test_links(kind, target, listed):
    """A link to an image is an image of its own, one to nothing a failure, one with no image's name is counted."""
    links = [("d/b.jpg", target), ("d/gone.jpg", "gone.jpg"), ("d/text", target)]
    members = [(name, b"", {"type": kind, "linkname": to}) for name, to in links]
    source = listed([("c/a.jpg", image(1)), *members])
    assert (list(rows(source)), contents(source)) == (["c/a.jpg", "d/b.jpg"], [image(1), image(1)])
    assert (failures(source), source.listing.n_ignored) == ({"d/gone.jpg": "dangling link"}, 1)
    assert rows(source)["d/b.jpg"]["label"] == "d"


def test_sparse_member(listed):
    """An image whose bytes do not lie in one piece is a failure."""
    sparse = {"pax_headers": {"GNU.sparse.map": "0,4,600,100", "GNU.sparse.size": "700"}}
    source = listed([("a.jpg", image(1), sparse), ("b.json", b"{", sparse), ("b.jpg", image(2))])
    assert (failures(source), source.listing.n_ignored) == ({"a.jpg": "unsupported"}, 1)
    assert contents(source) == [image(2)]


def test_repeated_name(listed):
    """Of two members of one name the first is the image, by whatever road it is read, and the other a failure."""
    source = listed([("a.jpg", image(1)), ("./a.jpg", image(2)), ("./b.jpg", image(3))])
    assert (list(rows(source)), failures(source)) == (["a.jpg", "b.jpg"], {"a.jpg": "repeated id"})
    assert [read_image(row["uri"]) for row in rows(source).values()] == contents(source) == [image(1), image(3)]


@pytest.mark.parametrize("place", [b"a.tar", b"\xff 100%/a.tar"])
@pytest.mark.parametrize("name", ["a.jpg", "c/two words\n.jpg", "100%20.jpg", "caf\udce9.jpg"])
def test_read_by_uri(name, place, tmp_path):
    """The uri leads to the image whatever bytes its name and its archive's have, and is text."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/" + place)
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120  the name is no text
    source = open_source(write_tar(path, [("b.jpg", image(2)), (name, image(1))]), SourceOptions())
    (_, uri) = source.listing.images["uri"].to_pylist()
    assert read_image(uri) == image(1)
    assert uri.encode().startswith(b"file://" if "\udce9" in name or b"\xff" in place else os.fsencode(path))


def test_index_is_kept(listed, tmp_path, monkeypatch):
    """Reading many images by uri goes through the headers once, and again when the archive has changed."""
    passes, scan = [], tar_module._Scan
    monkeypatch.setattr(tar_module, "_Scan", lambda *args: passes.append(1) or scan(*args))
    source = listed([(f"{number}.jpg", image(number)) for number in range(5)])
    uris = source.listing.images["uri"].to_pylist()
    assert [read_image(uri) for uri in uris] == [image(number) for number in range(5)]
    write_tar(tmp_path / "a.tar", [("0.jpg", image(7, 9))])
    assert (read_image(uris[0]), len(passes)) == (image(7, 9), 3)


@pytest.mark.parametrize(("name", "reason"), [("a.tar/gone.jpg", "missing"), ("gone.tar/a.jpg", "unreadable")])
def test_read_by_uri_fails(name, reason, listed, tmp_path):
    """An image that its archive does not hold, or of an archive that no longer exists, says so."""
    listed([("a.jpg", image(1))])
    with pytest.raises(ImageError) as caught:
        read_image(f"{tmp_path}/{name}")
    assert (caught.value.stage, caught.value.reason) == ("read", reason)


WHOLE = [(f"{n}.{ending}", image(n) if ending == "jpg" else b"5") for n in range(4) for ending in ("jpg", "cls")]
"""Four samples of 2,560 bytes, headers and padding included; the archive's end mark begins at byte 10,240."""


@given(kept=st.integers(0, 4 * 2560))
@settings(max_examples=60)
def test_cut_anywhere(kept, tmp_path_factory):
    """In a truncated archive, the complete images are listed, and one failure states where the file ends."""
    path = write_tar(tmp_path_factory.mktemp("tar") / "a.tar", WHOLE)
    os.truncate(path, kept)
    whole = [number for number in range(4) if kept >= 2560 * number + 512 + 704]
    if not whole:
        with pytest.raises(InputError, match=r"There is no image in .*: a\.tar can't be read: damaged"):
            open_source(str(path), SourceOptions())
        return
    source = open_source(str(path), SourceOptions())
    assert (list(rows(source)), failures(source)) == (
        [f"{number}.jpg" for number in whole],
        {"a.tar": "damaged archive"},
    )
    assert contents(source) == [image(number) for number in whole]


@given(changes=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 511), st.integers(0, 255)), min_size=1))
@settings(max_examples=60)
def test_damaged_anywhere(changes, tmp_path_factory):
    """Whatever a header holds, checksums right, the outcome is a listing that can be read, or a message."""
    path = write_tar(tmp_path_factory.mktemp("tar") / "a.tar", WHOLE)
    data = bytearray(path.read_bytes())
    for block, at, value in changes:
        start = 512 * block
        data[start + at] = value
        data[start + 148 : start + 156] = b" " * 8
        data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    path.write_bytes(data)
    with contextlib.suppress(InputError):
        assert {type(content) for content in contents(open_source(str(path), SourceOptions()))} <= {bytes, ImageError}


def test_negative_size(tmp_path):
    """A size below zero, which would lead backwards forever, is damage."""
    path = write_tar(tmp_path / "a.tar", WHOLE)
    header = tarfile.TarInfo("evil")
    header.size = -1024
    data = path.read_bytes()
    path.write_bytes(data[:2560] + header.tobuf(tarfile.GNU_FORMAT) + data[2560:])
    source = open_source(str(path), SourceOptions())
    assert (list(rows(source)), source.listing.failures[0].message) == (
        ["0.jpg"],
        "damaged at byte 2560: evil is cut short",
    )


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        (lambda data: data + data, "damaged at byte 10240: there is data that is no member"),
        (lambda data: data[:10240], "damaged at byte 10240: it has no end mark, and may have been longer"),
        (lambda data: data[:2560] + b"x" * 512 + data[3072:], "damaged at byte 2560: there is data that is no"),
    ],
    ids=["two in one", "no end", "broken header"],
)
def test_end_of_the_archive(hint, message, tmp_path):
    """An archive must end in zeros and nothing else, for tarfile takes whatever it does not know for the end."""
    path = write_tar(tmp_path / "a.tar", WHOLE)
    data = path.read_bytes()
    path.write_bytes(hint(data))
    (failure,) = open_source(str(path), SourceOptions()).listing.failures
    assert failure.message.startswith(message)
    assert (failure.id, failure.uri, failure.reason) == ("a.tar", str(path), "damaged archive")


def test_embedded_as_a_folder(folder, embed, tmp_path):
    """An archive's table is that of the folder it was made from, but for the ids."""
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(folder, "")
    tables = [tmp_path / "archive.features", tmp_path / "folder.features"]
    documents = [embed(source, out) for source, out in zip((tmp_path / "a.tar", folder), tables, strict=True)]
    one, other = (open_features(out) for out in tables)
    assert np.array_equal(one.embeddings(), other.embeddings())
    assert list(one.ids) == [f"a.tar/{name}" for name in other.ids]
    assert [document["rows"] for document in documents] == [10, 10]
    assert embed(tmp_path / "a.tar", tables[0])["unchanged"] == 10


def test_replaced_member(folder, embed, out, tmp_path):
    """A member of the size and time of the one before is another image all the same; the others are not run again."""
    path = tmp_path / "a.tar"

    photos = [(folder / name).read_bytes().ljust(4000, b"\0") for name in ("a.jpg", "b.jpg", "c.jpg")]
    write_tar(path, [("1.jpg", photos[0]), ("2.jpg", photos[1])])
    before = path.stat().st_size
    embed(path, out)
    write_tar(path, [("1.jpg", photos[0]), ("2.jpg", photos[2])])
    document = embed(path, out)
    assert path.stat().st_size == before
    assert (document["embedded"], document["unchanged"], document["rows"]) == (1, 1, 2)


def test_real_shards(shared_data):
    """The four shards of CIFAR-10's test images give 10,000 images of ten classes, 1,000 each, and their columns."""
    source = open_source(str(shared_data / "images" / "cifar10_test_webdataset"), SourceOptions())
    table = source.listing.images
    labels = table["label"].combine_chunks().value_counts().to_pylist()
    assert {one["values"]: one["counts"] for one in labels} == {str(label): 1000 for label in range(10)}
    assert table.slice(2500, 1).to_pylist()[0]["id"] == "00001.tar/002500.jpg"
    names = set(zip(table["label"].to_pylist(), table["class"].to_pylist(), strict=True))
    assert len(names) == 10
    assert (source.listing.failures, source.listing.n_ignored) == ((), 0)
    assert sum(map(len, contents(source))) == sum(table["size_bytes"].to_pylist())


def test_hidden_members(listed):
    """Hidden members, and what macOS and Synology lay beside images, are skipped, whatever is in them."""
    hidden = ["._a.jpg", "__MACOSX/c/._a.jpg", "c/@eaDir/a.jpg/THUMB.jpg", ".thumbs/a.jpg", "./c/.a.jpg"]
    source = listed([*((name, image(1)) for name in hidden), ("./c/a.jpg", image(2))])
    assert (list(rows(source)), source.listing.n_hidden) == (["c/a.jpg"], len(hidden))


def test_members_without_a_partner(listed):
    """A name ends at its first dot; a text that describes no image by that rule is counted, and one is named."""
    pairs = ["22.05.png", "22.05.cls", "22.06.png", "22.06.json", "b.jpg", "b.cls", "b.seg.json"]
    source = listed([(name, image(1) if name.endswith("g") else b"1") for name in pairs])
    assert rows(source)["b.jpg"]["label"] == "1"
    assert (rows(source)["22.05.png"]["label"], source.unpaired) == (None, 2)
    assert source.notes[0].startswith("2 members without an image, such as 22.05.cls: ")
    source = listed([("a.jpg", image(1)), ("b.cls", b"1")])
    assert (source.unpaired, source.notes[0][:34]) == (1, "1 member without an image, such as")
    assert listed([("a.jpg", image(1)), ("a.cls", b"1"), ("a.seg.json", b"{}")]).unpaired == 0


def test_lists_of_labels(listed):
    """Where some images have several labels all keep their list, and those of one have a label; else no list stays."""
    texts = {"a": [3], "b": [3, 4], "c": 5}
    members = [(f"{name}.jpg", image(1)) for name in texts]
    members += [(f"{name}.json", json.dumps({"label": label}).encode()) for name, label in texts.items() if name != "c"]
    several = rows(listed(members))
    assert [(row["label"], row["labels"]) for row in several.values()] == [
        ("3", ["3"]),
        (None, ["3", "4"]),
        (None, None),
    ]
    one = rows(listed([one for one in members if not one[0].startswith("b")]))
    assert [(row["label"], "labels" in row) for row in one.values()] == [("3", False), (None, False)]


@pytest.mark.parametrize(
    ("order", "labels"),
    [
        ("0.jpg=0 0.cls=a 1.jpg=1 1.cls=b 0.jpg=2 0.cls=c", {"0.jpg": "a", "1.jpg": "b"}),  # the sample appended again
        ("0.jpg=0 0.json=a 0.jpg=2 0.json=c", {"0.jpg": "a"}),
        ("0.cls=a 0.jpg=0 0.cls=c 0.png=2", {"0.jpg": "a", "0.png": "c"}),
        ("0.jpg=0 0.cls=a 0.png=2 0.cls=c", {"0.jpg": "a", "0.png": "c"}),
        ("0.json=x 0.jpg=0 0.cls=a 0.png=2 0.cls=c", {"0.jpg": "a", "0.png": "c"}),
        ("0.jpg=0 0.png=2 1.jpg=1 0.cls=a 1.cls=b 0.cls=c", {"0.jpg": None, "0.png": None, "1.jpg": "b"}),
    ],
)
def test_repeated_keys(order, labels, listed):
    """A key that is repeated gives no image the label of another sample, and is counted and reported."""
    texts = {"json": lambda value: json.dumps({"label": value}).encode(), "cls": str.encode}
    members = []
    for name, value in (one.split("=") for one in order.split()):
        ending = name.partition(".")[2]
        members.append((name, texts[ending](value) if ending in texts else image(int(value))))
    source = listed(members)
    assert {name: row["label"] for name, row in rows(source).items()} == labels
    assert (source.n_repeated_keys, source.notes[0][:49]) == (1, "1 key of more than one sample, such as 0 of a.tar")
    assert set(failures(source).values()) <= {"repeated id"}


def test_one_text_of_a_key(listed):
    """Images that share a key and do not lie together share its only text, without a word."""
    source = listed([("0.jpg", image(0)), ("0.cls", b"a"), ("1.jpg", image(1)), ("0.left.jpg", image(2))])
    assert rows(source)["0.left.jpg"]["label"] == "a"
    assert (source.n_repeated_keys, source.notes) == (0, ())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_mark(encoding, listed):
    """A byte order mark, as programs of Windows write it, is no part of a label."""
    texts = [("0.cls", "owl\n".encode(encoding)), ("0.json", '{"year": 1999}'.encode(encoding))]
    row = rows(listed([("0.jpg", image(0)), *texts]))["0.jpg"]
    assert (row["label"], row["year"]) == ("owl", 1999)


def test_large_numbers(listed):
    """Whole numbers of a .json are exact, however large."""

    def values(*numbers):
        images = [(f"{number}.jpg", image(number)) for number in range(len(numbers))]
        texts = [(f"{number}.json", f'{{"x": {x}}}'.encode()) for number, x in enumerate(numbers)]
        return [row["x"] for row in rows(listed(images + texts)).values()]

    assert values(2**63 + 1, 5, 2**53 + 1) == [2**63 + 1, 5, 2**53 + 1]
    assert values(2**63 + 1, 5.5, 2**53 + 1) == [str(2**63 + 1), "5.5", str(2**53 + 1)]
