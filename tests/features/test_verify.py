import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from frieze.core import FeatureFileError
from frieze.features import Shard, open_writer, replace_table, verify_features
from frieze.features import verify as verification
from frieze.features.part_files import write_part

PART = "parts/part-000000.parquet"


def problems(path):
    """Return what a check finds: (check, message), in order."""
    return [(problem["check"], problem["message"]) for problem in verify_features(path)["problems"]]


def checks(path):
    """Return the checks that fail."""
    return [check for check, _ in problems(path)]


def rewrite(table, change, *, name=PART):
    """Change a part's content."""
    path = table / name
    write_part(change(pq.read_table(path)), path)


def with_vectors(rows, change):
    """Change the vectors of a part's rows."""
    vectors = np.asarray(rows["embedding"].combine_chunks().flatten()).reshape(len(rows), -1).copy()
    change(vectors)
    kind = rows.schema.field("embedding")
    return rows.set_column(8, kind, pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), type=kind.type))


def test_valid_table(table):
    """A valid table has no problem, and its rows, parts and bytes are counted."""
    document = verify_features(table)
    n_bytes = sum(path.stat().st_size for path in (table / "parts").iterdir())
    assert document == {"problems": [], "rows": 4, "parts": 2, "bytes": n_bytes, "n_zero": 0, "zero_vectors": []}


def test_changed_byte(table):
    """One byte changed in a vector is found by the hash of its part."""
    data = bytearray((table / PART).read_bytes())
    data[data.index(np.float32(97).tobytes())] ^= 1
    (table / PART).write_bytes(data)
    assert checks(table) == ["hash"]


def test_missing_part(table):
    """A part that is not there is named."""
    (table / PART).unlink()
    assert problems(table) == [("parts", "features.json names it, and it is not there")]


def test_unnamed_part(table):
    """A part that features.json does not know is named: a run was cut short."""
    shutil.copy(table / PART, table / "parts" / "part-000009.parquet")
    assert problems(table) == [("parts", "features.json does not name it")]


def test_cut_part(table):
    """A truncated part is named, and the others are still checked."""
    (table / PART).write_bytes((table / PART).read_bytes()[:-9])
    document = verify_features(table)
    assert [problem["check"] for problem in document["problems"]] == ["hash", "readable"]
    assert "run the command that made the table again" in document["problems"][1]["mend"]
    assert document["rows"] == 2


def test_repeated_ids(table):
    """An id that is there twice, in one part or in two, is named."""
    rewrite(table, lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]))
    shutil.copy(table / PART, table / "parts" / "part-000001.parquet")
    messages = [message for check, message in problems(table) if check == "ids"]
    assert messages == ["1 image is there more than once: a", "2 images are there more than once: a, b"]


def test_not_finite(table):
    """A vector that is not finite is named by its image."""
    rewrite(table, lambda rows: with_vectors(rows, lambda vectors: vectors[1].fill(np.nan)))
    assert ("vectors", "1 image has a vector that is not finite: b") in problems(table)


def test_zero_vectors(table):
    """A vector of zeros is no problem, and is named."""
    rewrite(table, lambda rows: with_hash(with_vectors(rows, lambda vectors: vectors[0].fill(0)), None))
    document = verify_features(table)
    assert (document["n_zero"], document["zero_vectors"]) == (1, ["a"])
    assert [problem["check"] for problem in document["problems"]] == ["hash"]


def with_hash(rows, sha256):
    """Set one sha256 in all rows of a part."""
    values = pa.array([sha256] * len(rows), pa.string())
    return rows.set_column(3, rows.schema.field("sha256"), values)


def test_equal_files(table):
    """A row with the sha256 of another one and another vector is named; one without a sha256 is not."""
    rewrite(table, lambda rows: with_hash(with_vectors(rows, lambda vectors: vectors[1:].__imul__(-1)), "ab" * 32))
    assert "equal files" in checks(table)
    rewrite(table, lambda rows: with_hash(rows, None))
    assert "equal files" not in checks(table)


def test_rows_are_counted(table):
    """A part with another number of rows than features.json says is named."""
    rewrite(table, lambda rows: rows.filter(pc.equal(rows["id"], "a")))
    assert ("counts", "it has 1 row, features.json says 2") in problems(table)


def test_failures_are_counted(table):
    """A failures.parquet of another length than features.json says is named, and so is a broken one."""
    document = json.loads((table / "features.json").read_text())
    document["counts"]["failed"] = 3
    (table / "features.json").write_text(json.dumps(document))
    assert problems(table) == [("counts", "failures.parquet has 0 rows, features.json says 3")]
    (table / "failures.parquet").write_text("broken")
    assert checks(table) == ["failures"]


def test_other_backbone(table, run, images, spec):
    """A part of another backbone is named with both sides."""
    document = json.loads((table / "features.json").read_text())
    document["backbone"]["fingerprint"] = "ef" * 32
    (table / "features.json").write_text(json.dumps(document))
    ((check, message), _) = problems(table)
    assert (check, "abababababab here, efefefefefef there" in message) == ("backbone", True)


def test_other_columns(table):
    """A column of another type, or none, is reported with the expected type."""
    rewrite(table, lambda rows: rows.drop_columns("sha256").set_column(1, "uri", rows["uri"].cast(pa.large_string())))
    messages = [message for check, message in problems(table) if check == "columns"]
    assert [message.split(",")[0] for message in messages] == [
        "expected pyarrow.Field<uri: string not null>",
        "expected pyarrow.Field<sha256: string>",
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.drop_columns("embedding"),
        lambda rows: rows.set_column(8, "embedding", rows["embedding"].cast(pa.list_(pa.float32()))),
        lambda rows: rows.set_column(0, "id", pa.array([None, "b"])),
        lambda rows: rows.append_column("id", rows["id"]),
    ],
)
def test_unreadable_rows(change, table):
    """Invalid ids or vectors are reported, and the other parts are still checked."""
    pq.write_table(change(pq.read_table(table / PART)), table / PART)
    document = verify_features(table)
    assert ({problem["check"] for problem in document["problems"]}, document["rows"]) == ({"hash", "columns"}, 2)


def test_dangling_part(table):
    """A part that is a link to nowhere is not there."""
    (table / PART).unlink()
    (table / PART).symlink_to("nowhere.parquet")
    assert problems(table) == [("parts", "features.json names it, and it is not there")]


def test_part_whose_names_are_no_text(table):
    """A part whose bytes changed where a column is named is named."""
    (table / PART).write_bytes((table / PART).read_bytes().replace(b"width", b"widt\xff"))
    assert checks(table) == ["hash", "readable"]


def test_no_table(tmp_path):
    """Where there is no table, that is an error and no problem of one."""
    with pytest.raises(FeatureFileError, match="There is no"):
        verify_features(tmp_path)


@pytest.mark.parametrize("later", [[("a", 1, 2), ("b", 2, 2)], [("c", 3, 1), ("d", 4, 1)], [("z", 1, 1)]])
def test_beside_a_run(later, table, run, images, monkeypatch):
    """What a run rewrites, removes or adds between any two steps is no problem of the table that was opened."""
    expected = verify_features(table)
    check_file = verification._Check._check_file

    def change_and_check(*args):
        run(table, images(*later))
        monkeypatch.setattr(verification._Check, "_check_file", check_file)
        return check_file(*args)

    monkeypatch.setattr(verification._Check, "_check_file", change_and_check)
    document = verify_features(table)
    assert document == expected


def test_rewritten_while_it_is_read(table, run, images, monkeypatch):
    """A part that is rewritten between its hash and its rows is read as it was."""
    expected, check_schema = verify_features(table), verification._Check._check_schema

    def change_and_read(*args):
        run(table, images(("a", 1, 2), ("c", 3, 1)))
        monkeypatch.setattr(verification._Check, "_check_schema", check_schema)
        return check_schema(*args)

    monkeypatch.setattr(verification._Check, "_check_schema", change_and_read)
    assert verify_features(table) == expected


def test_half_a_commit(table, manifest, rows, images):
    """A part that a run has written and not named yet is no problem as long as the run is at work."""
    with open_writer(table, manifest) as writer:
        writer.write_part(Shard(7, np.arange(1)), rows(images(("e", 5, 1))))
        document = verify_features(table)
    assert document["problems"] == []
    assert document["notes"][0].startswith("A run is writing to this table")
    assert [problem["check"] for problem in verify_features(table)["problems"]] == ["parts"]


def test_a_run_that_ends_meanwhile(table, run, images, monkeypatch):
    """A part that a run adds after features.json was read, and before the parts are listed, is no problem."""
    listed = verification.part_files

    def change_and_list(folder):
        monkeypatch.setattr(verification, "part_files", listed)
        run(table, images(*((name, 1, 1) for name in "abcdef")))
        return listed(folder)

    monkeypatch.setattr(verification, "part_files", change_and_list)
    document = verify_features(table)
    assert (document["problems"], document["rows"]) == ([], 6)


def test_missing_part_beside_a_run(table, manifest):
    """A part that is gone is named, also while a run is at work."""
    with open_writer(table, manifest):
        (table / PART).unlink()
        assert problems(table) == [("parts", "features.json names it, and it is not there")]


def test_replaced_meanwhile(table, run, images, monkeypatch):
    """A table that --force replaces while it is checked is checked again."""
    check_file = verification._Check._check_file

    def replace_and_check(*args):
        monkeypatch.setattr(verification._Check, "_check_file", check_file)
        with replace_table(table, can_resume=lambda _: False) as fresh:
            run(fresh, images(("x", 9, 9)))
        return check_file(*args)

    monkeypatch.setattr(verification._Check, "_check_file", replace_and_check)
    document = verify_features(table)
    assert (document["problems"], document["rows"]) == ([], 1)
