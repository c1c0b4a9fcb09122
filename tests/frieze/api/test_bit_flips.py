"""A flipped bit in the folder of a head, a fine-tuned or an exported model is detected, and never read."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import frieze
import frieze.embedder
from frieze.api.export_folder import write_document
from frieze.core import InputError, write_with_checksums

GOLDEN = Path(__file__).parents[2] / "data" / "golden-head-1"
N_FLIPS = 100
READ = {"familiarity.npz", "head.json", "head.skops", "split.parquet", "weights.npz"}
"""What `evaluate` reads of a head."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A table of 60 vectors and its head; a head with a backbone beside it, and an exported model, both of noise."""
    folder, rng = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    codes = np.repeat(np.arange(3), 20)
    embeddings = np.eye(8, dtype="f4")[codes] + 0.4 * rng.normal(size=(60, 8)).astype("f4")
    columns = {"id": [f"{row:02}" for row in range(60)], "label": [f"c{code}" for code in codes]}
    pq.write_table(pa.table(columns | {"embedding": list(embeddings)}), folder / "v.parquet")
    frieze.import_vectors(folder / "v.parquet", out=folder / "features")
    frieze.train(folder / "features", out=folder / "head", head="prototype")
    tuned = folder / "tuned"
    shutil.copytree(folder / "head", tuned)
    for model in (tuned / "saved_model", folder / "export"):
        (model / "variables").mkdir(parents=True)
        for name in ("saved_model.pb", "fingerprint.pb", "variables/variables.index"):
            (model / name).write_bytes(rng.bytes(500))
    document = json.loads((tuned / "head.json").read_text())
    write_with_checksums(
        tuned, "head.json", {name: document[name] for name in document if name not in ("files", "sha256")}
    )
    write_document(folder / "export", {"classes": ["c0"]})
    return folder


@contextlib.contextmanager
def flipped(path, bit):
    """Turn one bit of a file over for a while."""
    whole = path.read_bytes()
    data = bytearray(whole)
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(whole)


def flips(folder):
    """Flip about a hundred bits of a folder, as many in each of its files; yields the file's name meanwhile."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rng = np.random.default_rng(0)
    for path in files:
        for bit in rng.integers(0, 8 * path.stat().st_size, -(-N_FLIPS // len(files))):
            with flipped(path, int(bit)):
                yield path.relative_to(folder).as_posix()


@pytest.mark.parametrize("name", ["head", "tuned", "export"])
def test_verify_finds_each_flipped_bit(name, made):
    """A flipped bit in any file is reported by `verify`."""
    assert frieze.verify(made / name)["ok"]
    missed = [file for file in flips(made / name) if frieze.verify(made / name)["ok"]]
    assert missed == []


def outcome(call, *args, **options):
    """Run a command's function; return its document without seconds, or None where it refuses."""
    try:
        return call(*args, **options) | {"seconds": None}
    except InputError:
        return None


def test_no_flipped_bit_is_read(made, tmp_path):
    """`evaluate` refuses a flipped bit in what it reads; one elsewhere changes no figure. `predict` refuses, too."""
    whole, table = outcome(frieze.evaluate, made / "head", made / "features"), made / "features"
    out = tmp_path / "p.parquet"
    for file in flips(made / "head"):
        actual = outcome(frieze.evaluate, made / "head", table)
        assert actual == (None if file in READ else whole)
        predicted = outcome(frieze.predict, made / "head", table, out=out, force=True)
        assert (predicted is None) == (file in READ - {"split.parquet"})


def test_info_and_audit_report_a_flipped_bit(made, run, tmp_path):
    """`info` refuses a head.json and an export.json that are not as written, `audit --head` a split."""
    audit = ("audit", made / "features", "--out", tmp_path / "f.parquet", "--head", made / "head")
    for path, line in (
        (made / "head" / "head.json", ("info", made / "head")),
        (made / "export" / "export.json", ("info", made / "export")),
        (made / "head" / "split.parquet", audit),
    ):
        with flipped(path, 1000):
            result = run(*line)
        assert (result.exit_code, result.stderr.startswith("Error: ")) == (1, True)


@pytest.mark.parametrize("name", ["tuned", "tuned/saved_model", "export"])
def test_a_flipped_bit_of_a_backbone_is_refused(name, made):
    """A model that `finetune` or `export` wrote is no backbone with an altered file, whichever folder is named."""
    folder = made / name
    path = next(folder.rglob("variables.index"))
    with flipped(path, 1000), pytest.raises(InputError, match=r"variables\.index is not the file that was stored"):
        frieze.embedder.open_backbone(frieze.embedder.BackboneRequest(handle=str(folder)))


def test_an_altered_page_is_not_rewritten(made, tmp_path):
    """The page of a head is not written from figures that were altered."""
    with flipped(made / "head" / "report.json", 1000), pytest.raises(InputError, match=r"report\.json is not the file"):
        frieze.write_report(tmp_path / "p.html", title="Head", head=made / "head")


def test_an_exported_model_is_known(made, run_json):
    """`info` and `verify` know an exported model's folder."""
    assert run_json("info", made / "export")[1]["kind"] == "export"
    code, document = run_json("verify", made / "export")
    assert (code, document["kind"], document["files"], document["notes"]) == (0, "export", 3, [])


def test_a_head_that_lists_no_files_is_read(made, run, tmp_path):
    """A head of version 0.1 predicts as it did, and `verify` says that not all of it could be checked."""
    result = run("verify", GOLDEN)
    assert (result.exit_code, "listed no hashes of its files" in result.stderr) == (0, True)
    vectors = np.array([[1.012573, -0.01321049, 0.06404226, 0.01049001], [-0.0661528, 1.093505, 0.00490546, 0.2002393]])
    actual = frieze.open_head(GOLDEN).probabilities(vectors.astype("f4"))
    np.testing.assert_allclose(actual, [[0.98276043, 0.0172396], [0.01427896, 0.985721]], atol=1e-5)


def test_no_flipped_bit_of_an_older_head_ends_in_a_traceback(tmp_path):
    """Where nothing but the model is hashed, a flipped bit is refused or overlooked, but ends in no traceback."""
    shutil.copytree(GOLDEN, tmp_path / "head")
    for _ in flips(tmp_path / "head"):
        outcome(frieze.verify, tmp_path / "head")
        outcome(frieze.info, tmp_path / "head")
        with contextlib.suppress(InputError):
            frieze.write_report(tmp_path / "p.html", title="Head", head=tmp_path / "head")
