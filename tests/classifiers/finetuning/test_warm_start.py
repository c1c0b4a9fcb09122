import dataclasses
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.classifiers import ClassVectors, HeadConfig, make_zero_shot_head, open_head, train_head
from frieze.classifiers.config import FinetuneConfig, FitOptions, Network
from frieze.classifiers.data.embedding_rows import EmbeddingRows
from frieze.classifiers.data.labelled_examples import labelled_rows
from frieze.classifiers.data.splits import Split
from frieze.classifiers.finetuning.warm_start import check_feasible, check_images, mean_norm, reuse_split, warm_start
from frieze.classifiers.kinds.linear import LinearHead
from frieze.classifiers.kinds.mlp import KerasHead
from frieze.classifiers.storage.split_file import read_split, write_split
from frieze.classifiers.training.start_weights import start_of
from frieze.core import InputError


def examples_of(table):
    """Return a table's labelled rows."""
    return labelled_rows(table.rows, maker=table.manifest.maker)


def ids_of(examples, positions):
    """Return the ids at some positions, sorted."""
    return sorted(examples.ids[positions].tolist())


@pytest.fixture(scope="module")
def probe(overlapping, tmp_path_factory):
    """A linear head on the overlapping table."""
    folder = tmp_path_factory.mktemp("probe") / "head"
    train_head(overlapping, folder)
    return open_head(folder)


@pytest.fixture(scope="module")
def examples_and_split(probe, overlapping):
    """The overlapping examples and their split."""
    examples = examples_of(overlapping)
    return examples, reuse_split(probe, examples, seed=0)[0]


def test_the_split_is_the_probes(probe, examples_and_split):
    """Rows are trained on and tested as they were, by id; a tenth of each class of the former validates."""
    examples, split = examples_and_split
    text = {
        part: sorted(row["id"] for row in read_split(probe.path) if row["part"] == part) for part in ("train", "test")
    }
    assert ids_of(examples, split.fit_and_validation) == text["train"]
    assert ids_of(examples, split.test) == text["test"]
    assert np.unique(examples.labels[split.validation].astype(str), return_counts=True)[1].tolist() == [4, 4, 4]
    assert not np.intersect1d(split.fit, split.validation).size


def test_the_seed_decides_the_validation(probe, overlapping):
    """Another seed draws other rows to validate on."""
    examples = examples_of(overlapping)
    one, same, other = (reuse_split(probe, examples, seed=seed)[0].validation.tolist() for seed in (0, 0, 1))
    assert one == same != other


def test_groups_stay_together_in_the_validation(probe, examples_and_split):
    """With groups, rows of one are on one side of the validation part, too; without, some are on both."""
    examples, without = examples_and_split
    groups = np.arange(len(examples)) // 5
    split, _ = reuse_split(probe, examples, seed=0, groups=groups)

    def on_both_sides(split):
        return set(groups[split.validation]) & set(groups[split.fit])

    assert (on_both_sides(split), len(on_both_sides(without)) > 0) == (set(), True)
    assert 3 <= len(split.validation) <= 24
    assert set(examples.labels[split.validation]) == set(examples.labels)
    assert split.test.tolist() == without.test.tolist()


def test_order_and_changes(probe, table, points):
    """Rows are found by id whatever their order; one whose bytes have changed, or that is new, is in no part."""
    ids, labels, embeddings = points(noise=0.4, n=50)
    order = np.random.default_rng(1).permutation(150)
    changed = [f"hash of {ids[row]}" for row in order]
    changed[0] = "other bytes"
    rows = [[values[row] for row in order] for values in (ids, labels)]
    examples = examples_of(table(*rows, embeddings[order], sha256=changed))
    split, _ = reuse_split(probe, examples, seed=0)
    text = {row["id"]: row["part"] for row in read_split(probe.path) if row["id"] != ids[order[0]]}
    actual = dict.fromkeys(examples.ids[split.fit_and_validation], "train") | dict.fromkeys(
        examples.ids[split.test], "test"
    )
    assert actual == text


def test_a_validation_part_stays(probe, examples_and_split, overlapping, tmp_path):
    """Where the probe has a validation part, that is the validation part here, and rows not drawn stay so."""
    examples, split = examples_and_split
    train = split.fit_and_validation
    validation, unused = train[10:30], train[:5]
    parts = dataclasses.replace(split, fit=np.setdiff1d(train, validation), validation=validation)
    write_split(tmp_path, examples, parts, unused)
    marked = pq.read_table(tmp_path / "split.parquet").to_pylist()
    marked = [row | {"part": "unused"} if row["id"] in examples.ids[unused] else row for row in marked]
    pq.write_table(pa.Table.from_pylist(marked), tmp_path / "split.parquet")
    actual, left = reuse_split(
        SimpleNamespace(path=tmp_path, classes=probe.classes, document=probe.document), examples, seed=0
    )
    assert actual.validation.tolist() == validation.tolist()
    assert (left.tolist(), actual.fit_and_validation.tolist()) == (unused.tolist(), train[5:].tolist())


def test_other_images_are_refused(probe, table, points):
    """A table without a row of the probe's split is refused."""
    ids, labels, embeddings = points(noise=0.4)
    other = table([f"other/{name}" for name in ids], labels, embeddings)
    with pytest.raises(InputError, match="are not those that") as caught:
        reuse_split(probe, examples_of(other), seed=0)
    assert "`head`" in caught.value.hint


@pytest.mark.parametrize("renamed", [{"cow": "dog"}, {"cow": None}])
def test_other_classes_are_refused(probe, table, points, renamed):
    """Labels that the probe does not know, and a class of the probe's that is gone, are refused."""
    ids, labels, embeddings = points(noise=0.4, n=50)
    other = table(ids, [renamed.get(label, label) for label in labels], embeddings)
    with pytest.raises(InputError, match="have other classes than") as caught:
        reuse_split(probe, examples_of(other), seed=0)
    assert "`labels`" in caught.value.hint


@pytest.mark.parametrize("kind", ["linear", "svm"])
def test_warm_start_is_fitted_without_validation_rows(overlapping, table, points, tmp_path, kind):
    """The head to begin from is the same, whatever the embeddings of validation rows are, but for its softness."""
    train_head(overlapping, tmp_path / "head", config=HeadConfig(kind))
    head, examples = open_head(tmp_path / "head"), examples_of(overlapping)
    split, _ = reuse_split(head, examples, seed=0)
    ids, labels, embeddings = points(noise=0.4, n=50)
    embeddings[examples.rows[split.validation]] = embeddings[examples.rows[split.validation]][::-1]
    moved = table(ids, labels, embeddings)
    heads = [warm_start(head, rows, examples, split, config=FinetuneConfig()) for rows in (overlapping, moved)]
    one, other = (
        coef_and_intercept / np.linalg.norm(coef_and_intercept)
        for coef_and_intercept, _ in (part.coef_and_intercept() for part in heads)
    )
    assert np.allclose(one, other, atol=1e-4)
    assert [type(part) for part in heads] == 2 * [type(head.classifier)]


def test_warm_start_has_the_probes_hyperparameter(probe, examples_and_split, overlapping):
    """The setting that was chosen for the probe is not chosen again; the head is another one than the probe."""
    head = warm_start(probe, overlapping, *examples_and_split, config=FinetuneConfig())
    assert probe.document["scores"]["setting"]["C"] == head.pipeline[-1].C
    assert not np.allclose(head.coef_and_intercept()[0], probe.classifier.coef_and_intercept()[0], atol=1e-3)


def test_warm_start_goes_on_from_words(overlapping, tmp_path):
    """A head of class names in words is the start of the fit, not replaced by one from zero."""
    named = ClassVectors(["ant", "bee", "cow"], np.eye(3, 8) + np.eye(3, 8, k=3), ["{}"], 9.0)
    make_zero_shot_head(overlapping, tmp_path / "words", named)
    probe, examples = open_head(tmp_path / "words"), examples_of(overlapping)
    split, _ = reuse_split(probe, examples, seed=0)
    labels, rows = examples.labels[split.fit], EmbeddingRows(overlapping, examples.rows[split.fit]).read()
    actual = warm_start(probe, overlapping, examples, split, config=FinetuneConfig()).coef_and_intercept()[0].ravel()
    for start, least, most in ((start_of(probe), 0.999999, 1.1), (None, -1, 0.9999)):
        (other,) = LinearHead.fit_each(rows, labels, [LinearHead.default], FitOptions(start=start))
        assert least <= np.corrcoef(actual, other.coef_and_intercept()[0].ravel())[0, 1] <= most


def test_a_network_keeps_its_architecture(examples_and_split, overlapping, monkeypatch):
    """Of a keras probe the hidden layers are the same, also where it has been fine-tuned and no setting is told."""
    monkeypatch.setattr(KerasHead, "fit", lambda *_: None)
    network = KerasHead.new(8, np.array(["ant", "bee", "cow"]), Network((7, 5), 0.2), seed=0)
    probe = SimpleNamespace(document={"head": "keras", "scores": {}}, classifier=network, classes=network.classes)
    assert warm_start(probe, overlapping, *examples_and_split, config=FinetuneConfig()).architecture == Network(
        (7, 5), 0.2
    )


def test_groups_of_the_rows_to_fit_go_with_a_network(examples_and_split, overlapping, monkeypatch):
    """Of a keras probe early stopping gets the groups of the rows that it is fitted on."""
    options, groups = [], np.arange(150) // 5
    monkeypatch.setattr(KerasHead, "fit", lambda *args: options.append(args[-1]))
    network = KerasHead.new(8, np.array(["ant", "bee", "cow"]), Network((7,)), seed=0)
    probe = SimpleNamespace(document={"head": "keras", "scores": {}}, classifier=network, classes=network.classes)
    warm_start(probe, overlapping, *examples_and_split, config=FinetuneConfig(), groups=groups)
    assert options[0].groups.tolist() == groups[examples_and_split[1].fit].tolist()


def test_a_new_network(probe, examples_and_split, overlapping):
    """Asked for hidden layers, it begins with a network that has learnt nothing; the seed decides its weights."""
    one, same, other = (
        warm_start(probe, overlapping, *examples_and_split, config=FinetuneConfig(hidden=Network((6,)), seed=seed))
        for seed in (0, 0, 1)
    )
    assert one.architecture == Network((6,))
    weights = [head.network.get_weights()[0] for head in (one, same, other)]
    assert np.array_equal(weights[0], weights[1])
    assert not np.allclose(weights[0], weights[2])
    assert one.classes.tolist() == ["ant", "bee", "cow"]


def test_mean_norm():
    """The mean norm of the rows is that of all blocks of the table; zero rows alone count as one."""
    row_blocks = [np.array([[3.0, 4.0]], np.float32), np.array([[0.0, 1.0], [6.0, 0.0]], np.float32)]
    assert mean_norm(SimpleNamespace(vectors=lambda: iter(row_blocks))) == pytest.approx(4)
    assert mean_norm(SimpleNamespace(vectors=lambda: iter([np.zeros((2, 3), np.float32)]))) == 1


TRUNK = SimpleNamespace(free="2 of 9 layers, from top on", n_free=1234, count_bytes=lambda batch: 1_000 * batch)


def test_enough_images_are_accepted(examples_and_split, monkeypatch):
    """Classes in all parts, five images each and memory for a step are enough."""
    monkeypatch.setattr("frieze.classifiers.finetuning.warm_start.free_memory", lambda: 32_000)
    check_feasible(*examples_and_split, TRUNK, 32)


@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_a_class_that_a_part_lacks(examples_and_split, part):
    """Each part has an image of each class, or it is refused by name."""
    examples, split = examples_and_split
    name = "fit" if part == "training" else part
    kept = [row for row in getattr(split, name) if examples.labels[row] != "cow"]
    with pytest.raises(InputError, match=f"The {part} part has no image of cow"):
        check_feasible(examples, dataclasses.replace(split, **{name: np.array(kept)}), TRUNK, 32)


@pytest.mark.parametrize(("method", "option"), [("stratified", "Add"), ("grouped", "`group`"), ("column", "`split`")])
def test_the_hint_names_what_left_a_class_out(examples_and_split, method, option):
    """A class that groups or a column keep out of a part is no matter of more images."""
    examples, split = examples_and_split
    kept = np.array([row for row in split.test if examples.labels[row] != "cow"])
    with pytest.raises(InputError) as caught:
        check_feasible(examples, dataclasses.replace(split, test=kept, method=method), TRUNK, 32)
    assert option in caught.value.hint


def test_too_few_images(examples_and_split):
    """Fewer than five images a class are refused with what they would have to carry, and the probe is named."""
    examples, _ = examples_and_split
    some = [np.flatnonzero(examples.labels == name) for name in ("ant", "bee", "cow")]
    parts = [
        np.sort(np.concatenate([positions[first:last] for positions in some]))
        for first, last in ((1, 5), (0, 1), (5, 6))
    ]
    with pytest.raises(InputError, match="There are 12 images of 3 classes to fine-tune 1,234 numbers") as caught:
        check_feasible(examples, Split(*parts, "stratified"), TRUNK, 32)
    assert "frieze train" in caught.value.hint


@pytest.mark.parametrize(
    ("counts", "test_size", "message"),
    [
        ((4, 4, 4), 0.2, r"There are 6 images of 3 classes .*\), besides 3 for validation and 3 for testing\."),
        ((2, 2, 2), 0.2, "Without the images held out for testing, each of the 3 classes has one image"),
        ((4, 4, 4), None, "There are 12 images of 3 classes"),
        ((40, 40, 2), 0.2, "The validation part has no image of cow|The training part has no image of cow"),
    ],
)
def test_too_few_images_are_known_by_their_labels(counts, test_size, message):
    """By the labels alone, before anything is embedded, too few images are refused as they would be afterwards."""
    labels = np.repeat(np.array(["ant", "bee", "cow", None], object), [*counts, 50])
    with pytest.raises(InputError, match=message):
        check_images(labels, TRUNK, test_size=test_size, seed=0)
    check_images(np.repeat(labels, 20), TRUNK, test_size=test_size, seed=0)


@pytest.mark.parametrize(("n_images", "test_size", "n_enough"), [(2, 0.2, 7), (4, 0.2, 7), (6, 0.2, 7), (6, 0.5, 12)])
def test_the_hint_has_the_number_of_images_that_are_enough(n_images, test_size, n_enough):
    """The number of images that is advised is enough, and one less is not, whatever the share held out."""
    with pytest.raises(InputError) as caught:
        check_images(np.repeat(["ant", "bee"], n_images).astype(object), TRUNK, test_size=test_size, seed=0)
    assert caught.value.hint == f"Add images: {n_enough} a class or more; or keep the probe: frieze train"
    check_images(np.repeat(["ant", "bee"], n_enough).astype(object), TRUNK, test_size=test_size, seed=0)
    with pytest.raises(InputError):
        check_images(np.repeat(["ant", "bee"], n_enough - 1).astype(object), TRUNK, test_size=test_size, seed=0)


def test_a_probe_that_leaves_nothing_to_validate_on(table, points, tmp_path):
    """Where the probe has one image a class to train on, that is told: none is left to validate on."""
    ids, labels, embeddings = points(noise=0.4, n=2)
    two = table(ids, labels, embeddings)
    train_head(two, tmp_path / "head")
    with pytest.raises(
        InputError, match="Without the images held out for testing, each of the 3 classes has one image"
    ):
        reuse_split(open_head(tmp_path / "head"), examples_of(two), seed=0)


def test_too_little_memory(examples_and_split, monkeypatch):
    """A step that takes more memory than is free is refused with a batch that would do."""
    monkeypatch.setattr("frieze.classifiers.finetuning.warm_start.free_memory", lambda: 16_000)
    with pytest.raises(InputError, match="A step takes about 32KB of memory; 16KB are free") as caught:
        check_feasible(*examples_and_split, TRUNK, 32)
    assert "`batch_size=8`" in caught.value.hint
