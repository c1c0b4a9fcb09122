"""`frieze.label`: a head of class names in words, without training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frieze import terminal
from frieze.api.label_source import open_labelled
from frieze.api.paths import to_local_path
from frieze.core import InputError
from frieze.reports.html import PAGE_NAME, head_page

DEFAULT_TEMPLATE = "a photo of a {}."
"""Source: Radford et al. 2021, section 3.1.4."""


def label(
    features: str | Path,
    *,
    classes: str | Sequence[str],
    out: str | Path,
    template: str | Sequence[str] = (),
    labels: str | Path | None = None,
    label: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Make a head of class names in words, without training: `predict`, `evaluate` and `finetune` take it as any other.

    The backbone needs a text tower. Labelled images of these classes calibrate its probabilities and measure it on the
    images that `train` holds out.

    Args:
        features: The table's folder.
        classes: The names, comma-separated or in a list; two or more.
        out: Folder of the head; `report.html` is written there, too, where there are labels.
        template: Prompts with `{}` for the name, whose vectors are averaged; by default `a photo of a {}.`
        labels: A file with ids and labels; by default those of the table.
        label: The column of the labels, of that file or else of the table.
        force: Replace an existing head.

    Returns:
        The head's classes, templates and logit scale; with labels also the figures of `train`.

    Raises:
        InputError: The backbone knows no words, or the request can't be met; the hint says what to change.
    """
    import frieze.classifiers
    import frieze.embedder

    names = frieze.classifiers.check_classes(classes.split(",") if isinstance(classes, str) else list(classes))
    templates = _check_templates([template] if isinstance(template, str) else list(template))
    head_path = to_local_path(out)
    frieze.classifiers.check_head(head_path, force=force)
    table, label_info = open_labelled(features, labels=labels, label=label)
    with terminal.spinner("Loading the text tower"):
        encoder = frieze.embedder.open_text_encoder(table.spec, where=str(features))
        vectors = encoder.class_vectors(names, templates)
        cut_texts = [text for text in frieze.embedder.class_prompts(names, templates) if encoder.is_cut(text)]
    named = frieze.classifiers.ClassVectors(names, vectors, templates, encoder.logit_scale)
    with terminal.spinner("Measuring"):
        document = frieze.classifiers.make_zero_shot_head(
            table, head_path, named, force=force, write_page=head_page("Head", table.spec.decoding)
        )
    document["notes"] += [frieze.embedder.note_on_cut(cut_texts)] * bool(cut_texts)
    report = None if document["accuracy"] is None else str(Path(out) / PAGE_NAME)
    return document | label_info | {"report": report}


def _check_templates(templates: list[str]) -> list[str]:
    """Return the templates, or the default.

    Raises:
        InputError: One has no place for the class's name.
    """
    for one in templates:
        if "{}" not in one:
            raise InputError(
                f"The template {one!r} has no place for a class's name.", hint=f"Use `template={DEFAULT_TEMPLATE!r}`"
            )
    return templates or [DEFAULT_TEMPLATE]
