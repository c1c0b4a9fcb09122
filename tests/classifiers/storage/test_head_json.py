"""The command that trains a head again."""

import shutil

import numpy as np
import pytest

from frieze.classifiers import HeadConfig, Network, SplitConfig, open_head, train_head

LABELS = [None, {"column": "the kind"}, {"file": "/a b/l.csv", "column": "kind"}]


@pytest.fixture
def staleness(table, tmp_path, points):
    """`staleness(labels_from, config, split_config)`: the staleness of such a head after its table has changed."""

    def train_and_change(labels, config, split_config):
        features = table(*points(noise=0.1), sha256=["train", "train", "test"] * 20)
        features = features.with_labels(features.labels, labels_from=labels) if labels else features
        train_head(features, tmp_path / "head", config=config, split_config=split_config)
        shutil.rmtree(tmp_path / "new.features")
        table(*points(noise=0.1, seed=1))
        return open_head(tmp_path / "head").staleness()

    return train_and_change


PAIRS = SplitConfig(groups=lambda: np.arange(60) // 2, test_size=0.25)


@pytest.mark.parametrize(
    ("labels", "config", "split_config", "options"),
    [
        (LABELS[0], {}, SplitConfig(group="sha256"), "--test-size 0.2 --group sha256 --seed 0"),
        (
            LABELS[1],
            {"is_balanced": True},
            PAIRS,
            "--label 'the kind' --test-size 0.25 --group duplicates --seed 0 --balanced",
        ),
        (
            LABELS[2],
            {"precision": 0.9},
            SplitConfig(column="sha256", seed=5, shots=4),
            "--labels '/a b/l.csv' --label kind --test-size 0.2 --split sha256 --shots 4 --abstain 0.9 --seed 5",
        ),
    ],
)
def test_the_retrain_command_has_the_same_options(labels, config, split_config, options, staleness):
    """The command to train again repeats where the labels came from, the split, and how the head was fitted."""
    assert staleness(labels, HeadConfig("prototype", **config), split_config).endswith(
        f"/head --head prototype {options} --force"
    )


def test_the_retrain_command_has_the_kernel(staleness):
    """A head with a kernel is asked for by both, as `train` takes them."""
    assert " --head svm --kernel rbf --test-size 0.2 " in staleness(None, HeadConfig("svm-rbf"), SplitConfig())


def test_the_retrain_command_has_the_network(staleness):
    """Of a `keras` head the command repeats layers, dropout, epochs and patience."""
    message = staleness(None, HeadConfig("keras", network=Network((16, 8), 0.25, 2, 3)), SplitConfig())
    options = "--test-size 0.2 --layers 16,8 --dropout 0.25 --epochs 2 --patience 3 --seed 0"
    assert message.endswith(f"/head --head keras {options} --force")
