"""A table whose labels are lists: what each image shows of three things, told apart by a noisy line each."""

import numpy as np
import pyarrow as pa
import pytest

from frieze.classifiers import HeadConfig, SplitConfig, train_multilabel

NAMES = ["cat", "dog", "sky"]
N = 240


@pytest.fixture
def listed(table):
    """A function that writes a table of rows with lists of labels; also with noise, or without lists."""

    def write(*, noise=0.5, unknown=(), name="listed.features", seed=0, **options):
        generator = np.random.default_rng(seed)
        embeddings = generator.normal(size=(N, 8)).astype("f4")
        lines = np.eye(3, 8) + 0.3 * np.eye(3, 8, 3)
        has_label = embeddings @ lines.T + noise * generator.normal(size=(N, 3)) > [0.3, 0.8, 1.2]
        lists = [[NAMES[code] for code in np.flatnonzero(row)] for row in has_label]
        lists = [None if row in unknown else one for row, one in enumerate(lists)]
        ids = [f"{seed}/{row:03d}.jpg" for row in range(N)]
        written = table(ids, [None] * N, embeddings, name=name, **options)
        column = pa.chunked_array([pa.array(lists, pa.list_(pa.string()))])
        return written.with_label_lists(column, labels_from={"column": "tags"})

    return write


@pytest.fixture
def train_listed(tmp_path):
    """A function that trains a head on such a table: its folder and the document."""

    def train(features, head="linear", *, out="several.head", split=None, **options):
        config = HeadConfig(head, **options)
        document = train_multilabel(
            features, tmp_path / out, config=config, split_config=split or SplitConfig(), force=True
        )
        return tmp_path / out, document

    return train
