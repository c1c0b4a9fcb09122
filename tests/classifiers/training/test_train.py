import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from frieze.classifiers import HEADS, HeadConfig, SplitConfig, evaluate_head, open_head, train_head
from frieze.classifiers.config import Network
from frieze.classifiers.data.splits import early_stopping_split
from frieze.core import FeatureFileError, InputError, parse_size

BRIEF = dict.fromkeys(HEADS, Network()) | {"keras": Network(epochs=1)}
"""A network that learns for one epoch, for the head that is one."""


def read(path):
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def contents(folder):
    """Return the bytes of each file by name."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_result_has_the_fields_of_the_command(trained):
    """The result is the JSON document of `frieze train`."""
    trained["linear"]
    assert sorted(trained.results["linear"]) == [
        "accuracy", "baseline_accuracy", "classes", "confidence_interval", "constant", "converged",
        "expected_calibration_error", "fit_seconds", "head", "interval_over", "macro_f1", "macro_f1_interval",
        "n_test", "n_test_groups",
        "n_train", "n_unlabelled", "n_without_part", "notes", "out", "peak_memory_bytes", "seconds", "setting",
        "similar_labels", "test_copies", "tried", "unjudged", "untested_classes",
    ]  # fmt: skip
    assert trained.results["linear"]["classes"] == ["ant", "bee", "cow"]


def test_fit_is_part_of_all_seconds(trained, head):
    """The last fit alone takes less than all."""
    trained[head]
    assert 0 < trained.results[head]["fit_seconds"] < trained.results[head]["seconds"]


def test_a_fifth_of_each_class_is_held_out(trained):
    """Of three classes of 20 rows, 16 are trained on and 4 held out, and split.parquet names them with their hashes."""
    split = pq.read_table(trained["linear"] / "split.parquet").to_pylist()
    held_out = [row["id"].split("/")[0] for row in split if row["part"] == "test"]
    assert sorted(held_out) == ["ant"] * 4 + ["bee"] * 4 + ["cow"] * 4
    assert [row["part"] for row in split].count("train") == trained.results["linear"]["n_train"] == 48
    assert split[0]["sha256"] == "hash of ant/000.jpg"


def test_head_json_tells_where_the_head_comes_from(trained, separable):
    """Backbone, table and its generation, split and figures stand in head.json."""
    document = read(trained["linear"] / "head.json")
    assert (document["contract"], document["kind"], document["head"]) == (1, "head", "linear")
    assert document["backbone"] == separable.spec.to_json()
    assert document["features"] == {"path": str(separable.path), "generation": separable.manifest.generation}
    assert document["split"] == {"method": "stratified", "test_size": 0.2, "seed": 0, "n_train": 48, "n_test": 12}
    assert document["scores"] | {"out": str(trained["linear"])} == trained.results["linear"]


@pytest.mark.parametrize(("head", "library"), [("linear", "skops"), ("svm", "scikit-learn"), ("keras", "tensorflow")])
def test_head_json_names_the_versions(trained, head, library):
    """The versions of what fitted and stored the head are kept, those of other libraries are not."""
    from importlib.metadata import version

    versions = read(trained[head] / "head.json")["versions"]
    assert versions[library] == version(library)
    assert versions["frieze"] == version("frieze")
    assert ("keras" in versions) == (head == "keras")


def test_report_adds_confusion_and_mistakes_to_the_figures(table, tmp_path, points):
    """report.json holds the figures, and its mistakes are what the confusion matrix has off its diagonal."""
    figures = train_head(table(*points(noise=0.8, n=50)), tmp_path / "head")
    actual = read(tmp_path / "head" / "report.json")
    assert actual["accuracy"] == figures["accuracy"] < 1
    assert np.trace(actual["confusion"]) == round(actual["accuracy"] * 30)
    assert len(actual["mistakes"]) == 30 - np.trace(actual["confusion"])
    assert [row["n_test"] for row in actual["per_class"]] == [10, 10, 10]


def test_rows_without_a_label_are_left_out(table, tmp_path, points):
    """Rows without a label are counted and neither trained on nor tested."""
    ids, labels, embeddings = points(noise=0.1)
    actual = train_head(table(ids, [None, None, *labels[2:]], embeddings), tmp_path / "head")
    assert (actual["n_unlabelled"], actual["n_train"] + actual["n_test"]) == (2, 58)


def test_order_of_the_table_does_not_matter(table, tmp_path, doubtful, points):
    """A table whose rows stand in another order gives the same split and the same figures."""
    ids, labels, embeddings = points(noise=0.4, n=50)
    shuffled = np.random.default_rng(5).permutation(150)
    turned = table([ids[row] for row in shuffled], [labels[row] for row in shuffled], embeddings[shuffled])
    actual = train_head(turned, tmp_path / "head")
    split = pq.read_table(tmp_path / "head" / "split.parquet")
    assert split.equals(pq.read_table(doubtful["linear"] / "split.parquet"))
    untimed = {"seconds": 0, "fit_seconds": 0, "peak_memory_bytes": 0, "out": ""}
    assert actual | untimed == doubtful.results["linear"] | untimed


def test_another_thing_is_never_overwritten(separable, tmp_path):
    """Without force a folder that is there stays as it is."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FeatureFileError, match="already exists") as caught:
        train_head(separable, tmp_path)
    assert "`force=True`" in caught.value.hint
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_a_foreign_file_is_never_lost(separable, copied):
    """Even with force a file that a user put beside the head stays, and so does the head."""
    path = copied("linear")
    (path / "notes.txt").write_text("mine", encoding="utf-8")
    before = contents(path)
    with pytest.raises(FeatureFileError, match=r"notes\.txt is no part of a head"):
        train_head(separable, path, force=True)
    assert contents(path) == before


def test_force_replaces_a_head(separable, copied):
    """With force a head gives way to the new one, and nothing of the old one stays."""
    path = copied("linear")
    (path / "report.html").write_text("old", encoding="utf-8")
    train_head(separable, path, config=HeadConfig("svm"), force=True)
    assert read(path / "head.json")["head"] == "svm"
    files = ["familiarity.npz", "head.json", "head.skops", "report.json", "split.parquet", "weights.npz"]
    assert sorted(contents(path)) == files


def test_a_failed_training_leaves_nothing(separable, tmp_path, monkeypatch):
    """When writing breaks off, there is no folder, and none half written beside it."""

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("frieze.classifiers.training.train.write_split", refuse)
    with pytest.raises(FeatureFileError, match="No space left"):
        train_head(separable, tmp_path / "head")
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments_are_refused_before_anything_is_read(separable, tmp_path):
    """An unknown kind of head is an error that the user can mend."""
    with pytest.raises(InputError, match="Unknown head: forest"):
        train_head(separable, tmp_path / "head", config=HeadConfig("forest"))


@pytest.mark.parametrize("name", ["head.json/head", "x" * 256])
def test_an_impossible_path_is_refused_before_the_fit(trained, tmp_path, monkeypatch, name):
    """Where the head can't be written, nothing is fitted."""
    monkeypatch.setattr(HEADS["linear"], "fit_each", lambda *_, **__: pytest.fail("fitted"))
    with pytest.raises(FeatureFileError, match="can't be written"):
        train_head(trained.features, trained["linear"] / name)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(separable, tmp_path, seed):
    """Seeds are what both NumPy and scikit-learn take."""
    with pytest.raises(InputError, match=f"The seed is {seed}; it must be between 0 and 4294967295") as caught:
        train_head(separable, tmp_path / "head", split_config=SplitConfig(seed=seed))
    assert "`seed=0`" in caught.value.hint


def test_the_largest_seed_works(separable, tmp_path, head):
    """Each kind of head takes the largest seed that is allowed."""
    config = HeadConfig(head, seed=2**32 - 1, network=BRIEF[head])
    train_head(separable, tmp_path / "head", config=config, split_config=SplitConfig(seed=2**32 - 1))
    assert read(tmp_path / "head" / "head.json")["split"]["seed"] == 4294967295


def test_a_head_may_be_written_below_a_colon(separable, tmp_path, monkeypatch):
    """A relative path that looks like a URL to pyarrow is a path."""
    monkeypatch.chdir(tmp_path)
    assert train_head(separable, Path("a:b/head"))["out"] == str(tmp_path / "a:b" / "head")
    assert evaluate_head("a:b/head", separable)["rows"] == "held-out"
    assert len(pq.read_table(tmp_path / "a:b" / "head" / "split.parquet")) == 60


def test_heads_converge(trained, head):
    """On separable points each head ends by itself."""
    trained[head]
    assert trained.results[head]["converged"] is True
    assert read(trained[head] / "report.json")["converged"] is True


@pytest.mark.parametrize("cut", ["linear", "svm", "keras"])
def test_a_fit_without_convergence_is_reported(overlapping, tmp_path, monkeypatch, cut):
    """A head that is cut off before its end is told by a field, not by a warning."""
    for limit in ("lbfgs._MAX_ITERATIONS", "linear._MAX_ROUNDS"):
        monkeypatch.setattr(f"frieze.classifiers.solver.{limit}", 1)
    config = HeadConfig(cut, network=BRIEF[cut])
    assert train_head(overlapping, tmp_path / "head", config=config)["converged"] is False


def test_many_classes_of_few_rows(table, tmp_path, head):
    """Thirty classes of two rows, one each to train on, give a report of thirty classes without a warning."""
    codes = np.repeat(np.arange(30), 2)
    embeddings = np.eye(30, dtype="f4")[codes] + 0.02 * np.random.default_rng(0).normal(size=(60, 30)).astype("f4")
    ids = [f"{row:03d}" for row in range(60)]
    rows = table(ids, [f"class {code}" for code in codes], embeddings)
    actual = train_head(rows, tmp_path / "head", config=HeadConfig(head))
    assert (actual["n_train"], actual["n_test"], actual["accuracy"]) == (30, 30, 1)
    report = read(tmp_path / "head" / "report.json")
    assert report["confusion"] == np.eye(30, dtype=int).tolist()
    assert [row["n_test"] for row in report["per_class"]] == [1] * 30


@pytest.fixture
def twins(table, points):
    """150 rows of three classes that overlap, each followed by a copy of it that is nearly the same; with columns."""
    ids, labels, embeddings = points(noise=0.6, n=50)
    ids, labels = [f"{name}{twin}" for name in ids for twin in "ab"], [label for label in labels for _ in "ab"]
    moved = np.repeat(embeddings, 2, axis=0) + 0.001 * np.random.default_rng(1).normal(size=(300, 8)).astype("f4")
    return table(ids, labels, moved)


def test_twins_on_both_sides_flatter(twins, tmp_path):
    """With twins kept together the accuracy is lower than a split of single rows would tell, and both are told."""
    split_config = SplitConfig(groups=lambda: np.arange(300) // 2)
    actual = train_head(twins, tmp_path / "head", config=HeadConfig("knn"), split_config=split_config)
    assert actual["naive_accuracy"] > actual["accuracy"] + 0.1
    split = pq.read_table(tmp_path / "head" / "split.parquet").to_pylist()
    parts = {row["id"]: row["part"] for row in split}
    assert all(parts[name[:-1] + "a"] == parts[name[:-1] + "b"] for name in parts)
    assert read(tmp_path / "head" / "head.json")["split"]["method"] == "grouped"


def test_twins_are_on_one_side_of_early_stopping(twins, tmp_path, monkeypatch):
    """Of a keras head the rows that end the fit are whole groups of the training rows."""
    seen = []

    def watch(codes, seed, groups):
        seen.append((groups, early_stopping_split(codes, seed, groups)))
        return seen[-1][1]

    monkeypatch.setattr("frieze.classifiers.kinds.mlp_batches.early_stopping_split", watch)
    split_config = SplitConfig(groups=lambda: np.arange(300) // 2)
    train_head(twins, tmp_path / "head", config=HeadConfig("keras", network=BRIEF["keras"]), split_config=split_config)
    groups, (fitted, watched) = seen[0]
    assert set(np.unique(groups, return_counts=True)[1]) == {2}
    assert not np.intersect1d(groups[fitted], groups[watched]).size
    assert len(watched) == 24


def test_a_column_groups(twins, tmp_path):
    """Rows of one value of a column come on one side; rows without a value are on their own."""
    actual = train_head(
        twins, tmp_path / "head", config=HeadConfig("prototype"), split_config=SplitConfig(group="sha256")
    )
    assert actual["naive_accuracy"] >= 0
    assert read(tmp_path / "head" / "head.json")["split"]["group"] == "sha256"


@pytest.mark.parametrize("split_config", [{"group": "nosuch"}, {"column": "nosuch"}])
def test_a_column_that_is_not_there(twins, tmp_path, split_config):
    """A column that the table has not is refused with those that it has."""
    with pytest.raises(InputError, match="There is no column nosuch") as caught:
        train_head(twins, tmp_path / "head", split_config=SplitConfig(**split_config))
    assert "sha256" in caught.value.hint


def test_group_and_column_exclude_each_other():
    """Where a column says each row's part, groups mean nothing."""
    with pytest.raises(InputError, match="decides where each row goes"):
        SplitConfig(column="a", group="b")


def test_a_head_that_abstains(overlapping, tmp_path):
    """Asked for a precision, a head has a threshold, and its answers above it are right about so often."""
    actual = train_head(overlapping, tmp_path / "head", config=HeadConfig("linear", precision=0.99))["abstain"]
    assert actual["precision"] == 0.99
    assert 0 < actual["coverage"] < 1
    assert actual["precision_on_test"] >= 0.9
    assert open_head(tmp_path / "head").threshold == actual["threshold"]


@pytest.mark.parametrize("precision", [0, 1, -0.5, 95])
def test_a_precision_is_a_share(precision):
    """A precision out of range is refused."""
    with pytest.raises(InputError, match="The precision is"):
        HeadConfig("linear", precision=precision)


IN_PASSES = {"linear": 1e-3, "svm": 1e-3, "prototype": 1e-5}
"""Heads that are the same in passes as in memory, and within what their probabilities agree."""


@pytest.mark.parametrize("name", IN_PASSES)
def test_streamed_rows_give_the_same_head(overlapping, tmp_path, name):
    """A head whose rows stay in the table is the one whose rows are in memory, and says how it was fitted."""
    actual = train_head(overlapping, tmp_path / "head", config=HeadConfig(name, is_balanced=True, memory_bytes=1))
    assert actual["notes"][0] == "The 120 embeddings do not fit in memory: they are streamed from the table in passes."
    assert actual["notes"][1].startswith("--max-memory 1B is less than the process takes without embeddings, about ")
    held = train_head(overlapping, tmp_path / "held", config=HeadConfig(name, is_balanced=True))
    assert (held["notes"], held["setting"], held["accuracy"]) == ([], actual["setting"], actual["accuracy"])
    one, other = (open_head(tmp_path / path).probabilities(overlapping.embeddings()) for path in ("head", "held"))
    assert np.abs(one - other).max() < IN_PASSES[name]


def test_a_network_learns_in_passes(separable, tmp_path):
    """A keras head whose rows stay in the table tells separable points apart."""
    actual = train_head(separable, tmp_path / "head", config=HeadConfig("keras", memory_bytes=1))
    assert (actual["accuracy"], len(actual["notes"])) == (1, 2)


@pytest.mark.parametrize("name", ["ridge", "knn"])
def test_rows_that_must_lie_in_memory(separable, tmp_path, name):
    """A head that can't be fitted in passes is refused with those that can, and nothing is written."""
    with pytest.raises(InputError, match=f"To fit a {name} head 48 embeddings must fit in memory") as caught:
        train_head(separable, tmp_path / "head", config=HeadConfig(name, memory_bytes=1000))
    assert "`head` linear, svm, prototype, keras" in caught.value.hint
    needed = parse_size(caught.value.hint.partition("`max_memory='")[2].removesuffix("'`"))
    assert train_head(separable, tmp_path / "held", config=HeadConfig(name, memory_bytes=needed + 10**8))["notes"] == []
    assert not (tmp_path / "head").exists()


@pytest.mark.parametrize("embeddings", [np.zeros((60, 4), "f4"), np.ones((60, 4), "f4") * np.arange(1, 61)[:, None]])
@pytest.mark.parametrize("memory_bytes", [None, 1])
def test_embeddings_that_are_all_the_same(table, tmp_path, embeddings, memory_bytes):
    """Where all training rows are one vector, but for its length, training is refused and nothing is written."""
    rows = table([f"{row:02}" for row in range(60)], ["a", "b"] * 30, embeddings.astype("f4"))
    with pytest.raises(InputError, match="The 48 training embeddings are all the same"):
        train_head(rows, tmp_path / "head", config=HeadConfig("prototype", memory_bytes=memory_bytes))
    assert not (tmp_path / "head").exists()


@pytest.mark.parametrize(("dead", "message"), [(3, False), (4, True)])
def test_columns_that_are_the_same_in_all_rows(table, tmp_path, points, dead, message):
    """Columns that tell nothing are counted; where they are half or more, a note says so."""
    ids, labels, embeddings = points(noise=0.1)
    embeddings[:, :dead] = 0
    actual = train_head(table(ids, labels, embeddings), tmp_path / "head", config=HeadConfig("prototype"))
    note = f"Columns with the same value in every training embedding: {dead} of 8."
    assert (actual["constant"], actual["notes"]) == (dead, [note] if message else [])
