"""The kinds of head, and what each of them must do."""

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
    """What a kind of head is: fitted on embeddings and labels, asked for probabilities, stored without a pickle.

    Attributes:
        file_name: Its file in the folder of a head.
        libraries: Distributions whose versions are stored with it.
        setting: Name of what is chosen for it, such as `C`; empty where nothing is.
        values: What it is chosen from, the simplest head first.
        usual: The value where nothing can be chosen: too few rows.
        streams: Whether it can be fitted on rows that stay on disk.
        memory: What a fit takes in memory where the rows lie there.
        is_calibrated: Whether its probabilities are honest as they are fitted; else they want `scale_logits`.
        classes: The names of the C classes, sorted.
        fit_seconds: How long the fit took; choosing and calibrating excluded.
        note: What was chosen in the fit for the number of rows, in words; mostly empty.
        converged: Whether the fit ended by itself, not by the limit on its steps.
    """

    file_name: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]]
    setting: ClassVar[str]
    values: ClassVar[tuple[float, ...]]
    usual: ClassVar[float]
    streams: ClassVar[bool]
    memory: ClassVar[FitMemory]
    is_calibrated: ClassVar[bool]
    classes: Strings
    fit_seconds: float
    converged: bool
    note: str

    @classmethod
    def fit_each(
        cls, embeddings: Embeddings, labels: Strings, values: Sequence[float], terms: FitOptions
    ) -> Iterator[Self]:
        """Fit one head for each value.

        Args:
            embeddings: float32 [N, D] of unit length; in memory, unless it `streams`.
            labels: Class names [N], two different ones or more.
            values: Of what is chosen, in the order of `values`.
            terms: Weights of the rows, seed and the like.
        """

    def margins(self, embeddings: Floats) -> Floats:
        """Give float32 [N, C] for float32 [N, D] of any length: their softmax are the probabilities."""

    def probabilities(self, embeddings: Floats) -> Floats:
        """Give float32 [N, C] for float32 [N, D], N >= 1; columns as in `classes`, each row sums to 1."""

    def as_function(self) -> Callable[[Any], Any]:
        """Give `probabilities` in TensorFlow's operations, for `frieze export`: float32 [B, D] -> float32 [B, C].

        It is traced once and frozen: what it reads of the head, arrays or variables, become constants of the graph.
        """

    def scale_logits(self, factor: float) -> None:
        """Multiply the margins by a factor > 0: one over a temperature."""

    def save(self, path: Path) -> None:
        """Write the fitted head to one file."""

    @classmethod
    def load(cls, path: Path, *, classes: Strings, dim: int) -> Self:
        """Read what `save` wrote, for these classes and this width; no code from the file is run."""


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
    """Give the key of `HEADS` of a head and its kernel, `linear` or `rbf`.

    Raises:
        InputError: The head has no such kernel, or is asked for by its key.
    """
    if head in _WITH_KERNEL:
        base, own = _WITH_KERNEL[head]
        raise InputError(f"The head {head} is {base} with a kernel.", hint=f"Use --head {base} --kernel {own}")
    if kernel == "linear":
        return head
    names = {pair: name for name, pair in _WITH_KERNEL.items()}
    if (head, kernel) not in names:
        raise InputError(f"The head {head} has no kernel {kernel}.", hint="Use --head svm --kernel rbf, or no --kernel")
    return names[head, kernel]


def head_options(name: str) -> dict[str, str]:
    """Give the options of `train` for a key of `HEADS`, such as `head` svm and `kernel` rbf."""
    return dict(zip(("head", "kernel"), _WITH_KERNEL.get(name, (name,)), strict=False))


def kind_of_head(name: str) -> type[Classifier]:
    """Give a kind of head by name.

    Raises:
        InputError: There is no such kind.
    """
    if name not in HEADS:
        raise InputError(f"Unknown head: {name}.", hint=f"Use one of: {', '.join(HEADS)}.")
    return HEADS[name]


def name_of_kind(head: Classifier) -> str:
    """Give the key in `HEADS` of a head's kind."""
    return next(name for name, kind in HEADS.items() if type(head) is kind)
