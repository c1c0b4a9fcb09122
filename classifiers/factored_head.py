"""What heads have in common whose probabilities are made honest by a factor beside the model."""

from pathlib import Path
from typing import Any, Self

from classifiers.margins import Softmax
from classifiers.scikit import import_skops
from features import Strings

_PARTS = {"model", "factor"}


class FactoredHead(Softmax):
    """A scikit-learn model and the factor on its margins, stored together in skops form."""

    classes: Strings
    fit_seconds: float
    converged: bool = True

    def __init__(self, *, classes: Strings, model: Any, factor: float = 1.0) -> None:
        self.classes = classes
        self._model = model
        self._factor = factor

    @classmethod
    def check(cls, model: Any, *, n_classes: int, dim: int) -> None:
        """Refuse a model that was read and is not of this kind, or not for these classes and this width.

        Raises:
            ValueError: It is another.
        """
        raise NotImplementedError

    def soften(self, factor: float) -> None:
        """Multiply the margins by a factor > 0: one over a temperature."""
        self._factor *= factor

    def save(self, path: Path) -> None:
        """Write the model and the factor in skops form."""
        import_skops().dump({"model": self._model, "factor": self._factor}, path)

    @classmethod
    def load(cls, path: Path, *, classes: Strings, dim: int) -> Self:
        """Read them; only types that skops trusts by itself are built, and only ours are accepted.

        Raises:
            ValueError: The file holds something else, or a model of other classes or width.
            skops.io.exceptions.UntrustedTypesFoundException: It holds a type that could run code.
        """
        parts = import_skops().load(path, trusted=[])
        if not isinstance(parts, dict) or parts.keys() != _PARTS:
            raise ValueError("it holds another model")
        cls.check(parts["model"], n_classes=len(classes), dim=dim)
        return cls(classes=classes, model=parts["model"], factor=float(parts["factor"]))
