from types import SimpleNamespace

import numpy as np
import pytest

from frieze.classifiers.data.labelled_examples import Examples
from frieze.classifiers.data.splits import Split
from frieze.classifiers.finetuning import finetune


@pytest.mark.parametrize(("labels", "named"), [("aabbc", ", such as those labelled 'c',"), ("aabba", "")])
def test_images_outside_of_the_split(labels, named):
    """Labelled images that the head's split does not have, of other classes or new ones, are counted in a note."""
    nothing = np.empty(0, np.int64)
    examples = Examples(np.arange(5), np.array(list(labels), dtype=object), None)
    data = SimpleNamespace(
        examples=examples,
        split=Split(np.array([0, 2]), np.array([1]), np.array([3]), "stratified"),
        unused=nothing,
        probe=SimpleNamespace(classes=np.array(["a", "b"], dtype=object)),
    )
    (note,) = finetune._notes_on_others(data)
    assert note == f"1 labelled image is not in the head's split{named} and is left out."
    data.unused = np.array([4])
    assert finetune._notes_on_others(data) == []
