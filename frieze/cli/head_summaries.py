"""What the commands on heads print for people."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from frieze.core import counted, shorten

Document = Mapping[str, Any]


def _train(document: Document) -> Iterator[str]:
    nouns = ("label", "labels") if document.get("multilabel") else ("class", "classes")
    n_classes = counted(len(document["classes"]), *nouns)
    setting = "".join(f", {name} = {value}" for name, value in (document.get("setting") or {}).items())
    n_train = counted(document["n_train"], "image")
    yield f"{document['head']} head for {n_classes}, trained on {n_train}{setting}."
    n_unknown = document.get("n_unknown_label")
    if n_unknown:
        yield f"{counted(n_unknown, 'labelled image')} of other classes left out."
    yield from _figures(document)
    yield from _shots(document.get("shots"))
    if document.get("naive_accuracy") is not None:
        yield f"With a split that does not mind the groups it would be {document['naive_accuracy']:.3f}."
    yield from _abstention(document.get("abstain"))
    if "learning_curve" in document:
        yield document["learning_curve"]["advice"]
    yield f"Report: {document['report']}"


def _label(document: Document) -> Iterator[str]:
    n_classes = counted(len(document["classes"]), "class", "classes")
    calibrated = f", calibrated on {counted(document['n_train'], 'image')}" if document["is_calibrated"] else ""
    yield f"{document['head']} head for {n_classes} in words in {document['out']}{calibrated}."
    if document["accuracy"] is not None:
        yield from _figures(document)
        yield f"Report: {document['report']}"


def _figures(document: Document) -> Iterator[str]:
    if document.get("multilabel"):
        yield from _figures_of_several(document)
        return
    yield f"Accuracy {document['accuracy']:.3f} {_measured_on(document, document['confidence_interval'])}."
    yield (
        f"Always the most frequent class: {document['baseline_accuracy']:.3f}. Macro F1 {document['macro_f1']:.3f},"
        f" expected calibration error {document['expected_calibration_error']:.3f}."
    )


def _figures_of_several(document: Document) -> Iterator[str]:
    """Yield the figures of a head of several labels an image."""
    yield f"mAP {document['map']:.3f} {_measured_on(document, document['map_interval'])}."
    yield (
        f"In a random order: {document['baseline_map']:.3f}. Macro F1 {document['macro_f1']:.3f}, micro F1"
        f" {document['micro_f1']:.3f}; all labels right of {format_percent(document['exact_match'])}."
    )
    weakest = sorted(
        (one for one in document.get("per_class", []) if one["n_test"]), key=lambda one: one["average_precision"]
    )[:_FEW_CLASSES]
    if len(weakest) == _FEW_CLASSES:
        yield f"Lowest: {', '.join('{class} {average_precision:.3f}'.format(**one) for one in weakest)}."


def _measured_on(document: Document, interval: Sequence[float]) -> str:
    """Return what a figure was measured on, with its interval."""
    images = f"{document['n_test']:,} {'images' if document.get('rows') == 'all' else 'held-out images'}"
    of_groups, over = _groups(document)
    return f"on {images}{of_groups} (95 % interval{over} {interval[0]:.3f} to {interval[1]:.3f})"


def _groups(document: Document) -> tuple[str, str]:
    """Return of how many groups the held-out images are and what the interval counts, both empty for single images."""
    if document.get("interval_over") != "groups":
        return "", ""
    return f" of {counted(document['n_test_groups'], 'group')}", " over groups"


def _shots(shots: Document | None) -> Iterator[str]:
    if shots:
        spread = f"{shots['mean_accuracy']:.3f}, standard deviation {shots['standard_deviation']:.3f}"
        yield f"{shots['draws']} draws of {shots['per_class']} images a class: mean accuracy {spread}."


def _abstention(abstain: Document | None) -> Iterator[str]:
    if abstain:
        precision = abstain["precision_on_test"]
        right = "" if precision is None else f", {format_percent(precision)} of them right"
        yield f"With --abstain it predicts {format_percent(abstain['coverage'])} of the held-out images{right}."


def _evaluate(document: Document) -> Iterator[str]:
    if "n_queries" in document:
        yield from _retrieval(document)
        return
    yield from _figures(document)
    yield document["note"]


_FEW_CLASSES = 3


def _retrieval(document: Document) -> Iterator[str]:
    interval = document["map_interval"] and " ({:.3f} to {:.3f})".format(*document["map_interval"])
    queries, rows = counted(document["n_queries"], "query", "queries"), counted(document["rows"], "labelled image")
    r_precision = f"R-precision {document['r_precision']:.3f}"
    yield f"mAP {document['map']:.3f}{interval or ''}, {r_precision}, by {queries} among {rows}."
    precisions = ", ".join(f"{document[f'precision_at_{k}']:.3f} at {k}" for k in (1, 5, 10))
    yield f"Precision {precisions}; of a random order {document['chance']:.3f}."
    if len(document["per_class"]) > 1:
        lowest = sorted(document["per_class"], key=lambda one: one["map"])[:_FEW_CLASSES]
        named = ", ".join(f"{one['class']} {one['map']:.3f}" for one in lowest)
        yield f"Lowest mAP: {named}."
    if document["n_alone"]:
        yield f"Without another image of their label: {counted(document['n_alone'], 'image')}."


def _finetune(document: Document) -> Iterator[str]:
    epochs = f"the best of {counted(document['epochs'], 'epoch')} was {document['best_epoch']}"
    trained = f"{document['head']} head and {document['unfrozen']}"
    yield f"{trained}, trained on {counted(document['n_train'], 'image')}; {epochs}."
    yield from _figures(document)
    yield f"The head that it started from: accuracy {document['probe_accuracy']:.3f} on the same images."
    yield f"Report: {document['report']}"


def _predict(document: Document) -> Iterator[str]:
    yield f"{counted(document['rows'], 'prediction')} in {document['out']}."
    yield from describe_sets(document["prediction_sets"])


def describe_sets(sets: Document | None) -> Iterator[str]:
    """Yield what prediction sets hold, and the classes without a threshold of their own."""
    if sets:
        yield (
            f"Sets of {sets['mean_size']:.2f} classes on average, {sets['n_single']:,} of one; they hold the label of"
            f" {format_percent(sets['coverage'])} of {counted(sets['n_held_out'], 'held-out image')}."
        )
    if sets and sets["pooled_classes"]:
        names = shorten([repr(name) for name in sets["pooled_classes"]])
        yield f"Too few held-out images for a threshold of their own, that of all is used: {names}."


def _drift(document: Document) -> Iterator[str]:
    more = "less" if document["familiarity_test"]["direction"] == "lower" else "more"
    reasons = [text.format(more=more) for name, text in _DRIFTS.items() if document[name]["is_different"]]
    images = counted(document["rows"], "image")
    verdict = " and ".join(reasons) if reasons else "No drift found"
    yield f"{verdict[0].upper()}{verdict[1:]}: {images} against {document['n_held_out']:,} held-out ones."
    share = format_percent(document["unfamiliar_share"])
    yield f"Less familiar than 95 % of the held-out images: {document['n_unfamiliar']:,}, {share} (5 % without drift)."
    if document["class_test"]["is_different"]:
        first = document["classes"][0]
        shares = (
            f"{format_percent(first['held_out_share'])} of the held-out images, {format_percent(first['share'])} now"
        )
        yield f"The class that differs most is {first['class']!r}: {shares}."
    yield f"Least familiar: {shorten([one['id'] for one in document['least_familiar']])}."


_DRIFTS = {
    "familiarity_test": "the images are {more} like the training images than held-out ones are",
    "class_test": "the predicted classes have other shares",
}


def _compare(document: Document) -> Iterator[str]:
    if "advice" in document:  # of backbones
        yield document["advice"]
        failed = f"; {document['failed']:,} can't be used" if document["failed"] else ""
        yield f"On {document['sampled']:,} of {counted(document['images'], 'image')}{failed}."
        return
    n_classes = counted(len(document["classes"]), "class", "classes")
    images = f"trained on {document['n_train']:,} images and scored on {document['n_test']:,} held-out ones"
    of_groups, over = _groups(document)
    yield f"{n_classes}, {images}{of_groups}, the same for all."
    alike = [_name_row(row, document["rows"]) for row in document["rows"][1:] if row["difference_interval"][1] >= 0]
    if alike:
        yield f"May be as good as the first by the 95 % interval{over} of the difference: {shorten(alike)}."
    if document["test_copies"]:
        yield f"{counted(document['test_copies'], 'held-out image')} also among the training images."
    n_missing = document["n_without_part"] + document["n_left_out"]
    if n_missing:
        yield f"{counted(n_missing, 'image')} left out: see --verbose."


def _name_row(row: Document, rows: Sequence[Document]) -> str:
    """Return the head of a row; with its table, where there are several."""
    tables = {one["features"] for one in rows}
    return row["head"] if len(tables) == 1 else f"{row['head']} of {row['features']}"


HEAD_SUMMARIES: dict[str, Callable[[Document], Iterator[str]]] = {
    "compare": _compare,
    "drift": _drift,
    "label": _label,
    "train": _train,
    "evaluate": _evaluate,
    "finetune": _finetune,
    "predict": _predict,
}
"""Command -> the lines that it prints of its document."""


def format_seconds(seconds: float) -> str:
    """Return seconds below two minutes, else minutes."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004


def format_percent(share: float) -> str:
    """Return a share as per cent, three digits."""
    return f"{100 * share:.3g} %"
