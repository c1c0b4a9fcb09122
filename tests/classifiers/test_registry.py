import random

import numpy as np
import pytest

from frieze.classifiers import HEADS, HeadConfig, name_head, open_head
from frieze.classifiers.registry import head_options
from frieze.classifiers.training.fit import fit_head
from frieze.core import InputError, import_keras, unit_rows


def drawn():
    """Return where the generators are that all parts of a program share."""
    return random.getstate(), [np.array(one).tolist() for one in np.random.get_state()]  # noqa: NPY002  the shared one


def test_separable_points_are_classified(trained, head):
    """Each head is right on every held-out row of points that a line tells apart."""
    trained[head]
    assert trained.results[head]["accuracy"] == 1
    assert trained.results[head]["macro_f1"] == 1


def test_a_loaded_head_predicts_like_the_fitted_one(doubtful, head, tmp_path):
    """Probabilities are the same bits before and after save and load."""
    fitted, embeddings = doubtful.refitted(head), doubtful.features.embeddings()
    fitted.save(tmp_path / fitted.file_name)
    loaded = HEADS[head].load(tmp_path / fitted.file_name, classes=fitted.classes, dim=8)
    assert np.array_equal(loaded.probabilities(embeddings), fitted.probabilities(embeddings))


def test_generators_of_the_caller_are_left_alone(doubtful, head, tmp_path):
    """Fitting, storing and loading a head draws nothing from Python's and NumPy's own generators."""
    import_keras()
    before = drawn()
    fitted = doubtful.refitted(head)
    fitted.save(tmp_path / fitted.file_name)
    HEADS[head].load(tmp_path / fitted.file_name, classes=fitted.classes, dim=8)
    assert drawn() == before


def test_same_rows_and_seed_give_the_same_head(doubtful, head):
    """Fitting twice gives the same probabilities."""
    embeddings = doubtful.features.embeddings()
    first = open_head(doubtful[head]).probabilities(embeddings)
    assert np.allclose(doubtful.refitted(head).probabilities(embeddings), first, atol=1e-5)


def test_probabilities_are_float32_and_sum_to_one(doubtful, head):
    """A row of probabilities has one entry a class, none below 0, and the sum 1."""
    actual = open_head(doubtful[head]).probabilities(doubtful.features.embeddings())
    assert (actual.dtype, actual.shape) == (np.float32, (150, 3))
    assert actual.min() >= 0
    assert np.allclose(actual.sum(1), 1, atol=1e-6)


def test_batch_size_does_not_matter(trained, head):
    """A row alone and in company has the same probabilities."""
    opened, embeddings = open_head(trained[head]), trained.features.embeddings()
    alone = np.concatenate([opened.probabilities(row[None]) for row in embeddings[:5]])
    assert np.allclose(alone, opened.probabilities(embeddings)[:5], atol=1e-6)


def test_length_of_an_embedding_does_not_matter(trained, head):
    """Heads look at the direction only, so that a backbone's scale is no concern of theirs."""
    opened, embeddings = open_head(trained[head]), trained.features.embeddings()
    assert np.allclose(opened.probabilities(1000 * embeddings), opened.probabilities(embeddings), atol=1e-5)


def test_a_zero_embedding_has_probabilities(trained, head):
    """An embedding of zeros has no direction, and gets finite probabilities all the same."""
    assert open_head(trained[head]).probabilities(np.zeros((1, 8), "f4")).sum() == pytest.approx(1)


def test_few_rows_are_enough(separable, head):
    """Two classes of four and two rows are fitted without a warning and told apart."""
    rows = [0, 1, 2, 3, 20, 21]
    embeddings, labels = separable.embeddings()[rows], separable.labels[rows]
    few, _ = fit_head(HeadConfig(head), unit_rows(embeddings), labels)
    assert few.classes.tolist() == ["ant", "bee"]
    assert few.probabilities(embeddings[[0, -1]]).argmax(1).tolist() == [0, 1]


def test_unknown_head_is_refused():
    """An unknown kind is answered with the known ones."""
    with pytest.raises(InputError, match="Unknown head: forest") as caught:
        HeadConfig("forest")
    assert caught.value.hint == "Use one of: linear, svm, svm-rbf, ridge, knn, prototype, keras."


@pytest.mark.parametrize(
    ("name", "requested"), [("svm", ("svm", "linear")), ("svm-rbf", ("svm", "rbf")), ("knn", ("knn", "linear"))]
)
def test_a_kernel_is_an_option_of_its_head(name, requested):
    """A head and its kernel have one name, and one way to ask for them."""
    assert name_head(*requested) == name
    kernel = {} if requested[1] == "linear" else {"kernel": requested[1]}
    assert head_options(name) == {"head": requested[0]} | kernel


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        (("ridge", "rbf"), "The head ridge has no kernel rbf"),
        (("svm", "cubic"), "The head svm has no kernel cubic"),
        (("svm-rbf", "linear"), "The head svm-rbf is svm with a kernel"),
        (("svm-rbf", "rbf"), "The head svm-rbf is svm with a kernel"),
    ],
)
def test_no_other_head_has_a_kernel(requested, message):
    """A kernel that a head has not, and a second way to ask for one, are refused with what to type."""
    with pytest.raises(InputError, match=message) as caught:
        name_head(*requested)
    assert "`head='svm', kernel='rbf'`" in caught.value.hint
