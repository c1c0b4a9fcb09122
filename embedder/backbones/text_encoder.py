"""A text tower: texts become vectors of the same space as images; prompts are averaged and subtracted."""

import dataclasses
from collections.abc import Callable, Sequence

from frieze.core import TEXT, Floats, InputError, shorten, truncate, unit_rows

_BETWEEN, _MINUS = "|", "-"
_MOST_SHOWN = 60
"""Characters of a text in a note."""


@dataclasses.dataclass(frozen=True)
class TextEncoder:
    """An open text tower.

    Attributes:
        encode: Texts [n] -> float32 [n, D].
        fingerprint: sha256, hex, of its files or weights.
        logit_scale: Factor on the cosine of text and image in the network's own logits, > 0.
        is_cut: Returns whether a text has more tokens than the network takes, so that its end is not read.
    """

    encode: Callable[[Sequence[str]], Floats]
    fingerprint: str
    logit_scale: float
    is_cut: Callable[[str], bool] = lambda _: False

    def query_vector(self, query: str) -> Floats:
        """Embed a query: the mean of its prompts as unit vectors, less the mean of those that begin with `-`.

        Args:
            query: `text:PROMPT`, or several prompts with `|` between them.

        Returns:
            float32 [D], unit length.

        Raises:
            InputError: It has no prompt to look for.
        """
        positive, negative = split_prompts(query)
        vectors = unit_rows(self.encode([*positive, *negative]))
        total = vectors[: len(positive)].mean(axis=0)
        if negative:
            total = total - vectors[len(positive) :].mean(axis=0)
        vector: Floats = unit_rows(total[None])[0]
        return vector

    def cut_texts(self, query: str) -> list[str]:
        """Return the prompts of a query whose end is not read."""
        positive, negative = split_prompts(query)
        return [prompt for prompt in (*positive, *negative) if self.is_cut(prompt)]

    def class_vectors(self, classes: Sequence[str], templates: Sequence[str]) -> Floats:
        """Embed classes: float32 [C, D], unit length, each the mean of its prompts as unit vectors.

        Args:
            classes: Their names.
            templates: Prompts with `{}` for the name.

        Source: Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision, section
        3.1.4.
        """
        prompts = class_prompts(classes, templates)
        vectors = unit_rows(self.encode(prompts)).reshape(len(classes), len(templates), -1)
        return unit_rows(vectors.mean(axis=1))


def class_prompts(classes: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Put each class into each template."""
    return [template.replace("{}", name) for name in classes for template in templates]


def note_on_cut(texts: Sequence[str]) -> str:
    """Return a sentence on texts whose end is not read."""
    named = shorten([repr(truncate(text, most=_MOST_SHOWN)) for text in texts])
    return f"Of texts that are longer than the text tower takes the end is not read: {named}."


def split_prompts(query: str) -> tuple[list[str], list[str]]:
    """Split a query in words into prompts to look for, and those to stay away from.

    Raises:
        InputError: There is no prompt to look for.

    >>> split_prompts("text:a red bird|a photo of a bird|-a drawing")
    (['a red bird', 'a photo of a bird'], ['a drawing'])
    """
    prompts = [prompt.strip() for prompt in query.removeprefix(TEXT).split(_BETWEEN)]
    positive = [prompt for prompt in prompts if prompt and not prompt.startswith(_MINUS)]
    negative = [prompt[1:].strip() for prompt in prompts if prompt.startswith(_MINUS) and prompt[1:].strip()]
    if not positive:
        raise InputError(
            f"{query!r} has no words to look for.",
            hint="Type for example 'text:a red bird', or 'text:a red bird|-a drawing' to stay away from drawings.",
        )
    return positive, negative
