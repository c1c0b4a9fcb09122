"""The kinds of head by name, and the contract of a kind."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from frieze.classifiers.config import FitMemory, FitOptions
from frieze.classifiers.data.embedding_rows import Embeddings
from frieze.classifiers.kinds.knn import NeighboursHead
from frieze.classifiers.kinds.linear import LinearHead, PrototypeHead, RidgeHead, SvmHead
from frieze.classifiers.kinds.mlp import KerasHead
from frieze.classifiers.kinds.rbf_svm import KernelHead
from frieze.core import Floats, InputError, Strings


class Classifier(Protocol):
    """A kind of head: fitted on embeddings and labels, predicts probabilities, stored without a pickle.

    Attributes:
        file_name: Its file in the folder of a head.
        libraries: Distributions whose versions are stored with it.
        hyperparameter: Name of the hyperparameter that folds choose, such as `C`; empty without one.
        grid: Its values to try, the simplest head first.
        default: Its value where the rows are too few for folds.
        streams: Whether it can be fitted on rows that are streamed from disk.
        is_iterative: Whether its fit is many passes over the rows, fewer from a head that is near; a sample tells its
            hyperparameter.
        memory: Memory of a fit on rows in memory.
        is_calibrated: Whether its probabilities are calibrated by the fit; if not, `scale_logits` calibrates them.
        classes: The names of the C classes, sorted.
        fit_seconds: Duration of the fit, without grid search and calibration.
        note: A sentence about an approximation that the number of rows requires; mostly empty.
        converged: Whether the fit converged before the limit on its steps.
    """

    file_name: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]]
    hyperparameter: ClassVar[str]
    grid: ClassVar[tuple[float, ...]]
    default: ClassVar[float]
    streams: ClassVar[bool]
    is_iterative: ClassVar[bool]
    memory: ClassVar[FitMemory]
    is_calibrated: ClassVar[bool]
    classes: Strings
    fit_seconds: float
    converged: bool
    note: str

    @classmethod
    def fit_each(
        cls, embeddings: Embeddings, labels: Strings, grid: Sequence[float], options: FitOptions
    ) -> Iterator[Self]:
        """Fit one head for each value of the hyperparameter.

        Args:
            embeddings: float32 [N, D] of unit length; in memory, unless the kind `streams`.
            labels: Class names [N], two different ones or more.
            grid: Values of the hyperparameter, in the order of the attribute.
            options: Sample weights, seed and the like.
        """

    def logits(self, embeddings: Floats) -> Floats:
        """Compute float32 [N, C] for float32 [N, D] of any length; their softmax is `probabilities`."""

    def probabilities(self, embeddings: Floats) -> Floats:
        """Predict float32 [N, C] for float32 [N, D], N >= 1; columns as in `classes`, each row sums to 1."""

    def as_function(self) -> Callable[[Any], Any]:
        """Return `probabilities` as a TensorFlow function, for `frieze export`: float32 [B, D] -> float32 [B, C].

        It is traced once and frozen: arrays and variables of the head become constants of the graph.
        """

    def scale_logits(self, factor: float) -> None:
        """Multiply the logits by a factor > 0, 1 / temperature."""

    def save(self, path: Path) -> None:
        """Write the fitted head to one file."""

    @classmethod
    def load(cls, path: Path, *, classes: Strings, dim: int) -> Self:
        """Load a saved head for these classes and this width; no code from the file is run."""


HEADS: dict[str, type[Classifier]] = {
    "linear": LinearHead,
    "svm": SvmHead,
    "svm-rbf": KernelHead,
    "ridge": RidgeHead,
    "knn": NeighboursHead,
    "prototype": PrototypeHead,
    "keras": KerasHead,
}
"""Name -> kind. A new kind is one line here, and every test over HEADS tests it."""

_WITH_KERNEL = {"svm-rbf": ("svm", "rbf")}


def name_head(head: str, kernel: str) -> str:
    """Return the key in `HEADS` of a head and its kernel, `linear` or `rbf`.

    Raises:
        InputError: The head has no such kernel, or `head` is a key with a kernel.
    """
    if head in _WITH_KERNEL:
        base, own_kernel = _WITH_KERNEL[head]
        raise InputError(
            f"The head {head} is {base} with a kernel.", hint=f"Use `head={base!r}, kernel={own_kernel!r}`"
        )
    if kernel == "linear":
        return head
    names = {pair: name for name, pair in _WITH_KERNEL.items()}
    if (head, kernel) not in names:
        raise InputError(
            f"The head {head} has no kernel {kernel}.", hint="Use `head='svm', kernel='rbf'`, or no `kernel`"
        )
    return names[head, kernel]


def head_options(name: str) -> dict[str, str]:
    """Return the options of `train` for a key of `HEADS`, such as `head` svm and `kernel` rbf."""
    return dict(zip(("head", "kernel"), _WITH_KERNEL.get(name, (name,)), strict=False))


def kind_of_head(name: str) -> type[Classifier]:
    """Return a kind of head by its name.

    Raises:
        InputError: There is no such kind.
    """
    if name not in HEADS:
        raise InputError(f"Unknown head: {name}.", hint=f"Use one of: {', '.join(HEADS)}.")
    return HEADS[name]


def name_of_kind(head: Classifier) -> str:
    """Return the key in `HEADS` of a head's kind."""
    return next(name for name, kind in HEADS.items() if type(head) is kind)
