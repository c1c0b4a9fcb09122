"""The kinds of head, and what each of them must do."""

from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from classifiers.keras_head import KerasHead
from classifiers.linear_heads import LinearHead, SvmHead
from features import Floats, InputError, Strings


class Classifier(Protocol):
    """What a kind of head is: fitted on embeddings and labels, asked for probabilities, stored without a pickle.

    Attributes:
        file_name: Its file in the folder of a head.
        libraries: Distributions whose versions are stored with it.
        classes: The names of the C classes, sorted; known after `fit` or `load`.
        fit_seconds: How long the last fit alone took; choosing and calibrating excluded.
        converged: Whether the last fit ended by itself, not by the limit on its steps.
    """

    file_name: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]]
    classes: Strings
    fit_seconds: float
    converged: bool

    def __init__(self, *, seed: int) -> None: ...

    def fit(self, embeddings: Floats, labels: Strings) -> None:
        """Fit on float32 [N, D] and N labels of two classes or more."""

    def probabilities(self, embeddings: Floats) -> Floats:
        """Give float32 [N, C] for float32 [N, D], N >= 1; columns as in `classes`, each row sums to 1."""

    def save(self, path: Path) -> None:
        """Write the fitted head to one file."""

    @classmethod
    def load(cls, path: Path, *, classes: Strings, dim: int) -> Self:
        """Read what `save` wrote, for these classes and this width; no code from the file is run."""


HEADS: dict[str, type[Classifier]] = {
    "linear": LinearHead,
    "svm": SvmHead,
    "keras": KerasHead,
}
"""Name -> kind. A new kind is one line here, and every test over HEADS tests it."""


def new_head(name: str, **options: Any) -> Classifier:
    """Make an unfitted head.

    Raises:
        InputError: There is no such kind.
    """
    if name not in HEADS:
        raise InputError(f"Unknown head: {name}.", mend=f"Use one of: {', '.join(HEADS)}.")
    return HEADS[name](**options)
