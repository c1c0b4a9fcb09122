"""What each command prints for people: one to six lines; `--verbose` prints all fields, `--json` those for programs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from frieze.core import counted, format_size, shorten

Document = Mapping[str, Any]

_CHANGES = {
    "embedded": "new or changed",
    "unchanged": "unchanged",
    "renamed": "renamed",
    "relabelled": "relabelled",
    "removed": "removed",
    "left": "left for the next run",
}


def summarize(command: str, document: Document) -> list[str]:
    """Return the lines that a command prints of its document.

    Args:
        command: A key of `_SUMMARIES`.
        document: What it prints with `--json`.
    """
    return list(_SUMMARIES[command](document))


def _embed(document: Document) -> Iterator[str]:
    if document.get("dry_run"):
        yield from _dry_run(document)
        return
    is_first = document["embedded"] and not document["unchanged"] + document["renamed"]
    names = [name for name in _CHANGES if document[name] and not (is_first and name == "embedded")]
    changes = [f"{document[name]:,} {_CHANGES[name]}" for name in names]
    changes += [f"{document['duplicates']:,} with the bytes of another"] if document["duplicates"] else []
    rows = counted(document["rows"], "image")
    yield f"{rows} in {document['out']}" + (f": {', '.join(changes)}." if changes else ".")
    if document["broken_parts"]:
        yield f"{counted(len(document['broken_parts']), 'part')} was damaged: its images were embedded again."
    if document["embedded"]:
        by = f"{document['backbone']} ({document['engine']}, {document['precision']})"
        yield f"{document['dim']:,} numbers an image by {by}, {document['images_per_second']:,.0f} images/s."
        start = f"after {_seconds(document['startup_seconds'])} to start"
        yield f"{_seconds(document['seconds'])} {start}. {document['advice'] or ''}".rstrip()


def _dry_run(document: Document) -> Iterator[str]:
    counts = (
        f"{document['to_embed']:,} to embed, {document['unchanged']:,} unchanged, {document['removed']:,} to remove"
    )
    yield f"{counted(document['images'], 'image')}: {counts}. Nothing was written."
    if document["to_embed"]:
        disk = f", {format_size(document['bytes'])} on disk" if document["bytes"] else ""
        free = f" ({format_size(document['free_bytes'])} free)" if document["free_bytes"] else ""
        yield f"About {_seconds(document['seconds'])} at {document['images_per_second']:,.0f} images/s{disk}{free}."


def _index(document: Document) -> Iterator[str]:
    size = f"{document['rows']:,} x {document['dim']:,}"
    state = "" if document["rebuilt"] else ", up to date"
    yield f"{size} vectors in {document['index']} ({document['kind']}, {format_size(document['bytes'])}){state}."
    changes = document["changes"] or {}
    counts = [f"{n:,} {name}" for name, n in changes.items() if n]
    if counts:
        yield f"Since the last time: {', '.join(counts)}."
    if document["recall_at_10"] is not None:
        yield f"{_recall(document)}, or one in {document['ms_per_query']:.2g} ms."
    yield f"{document['why']} Built in {_seconds(document['build_seconds'])}."


def _train(document: Document) -> Iterator[str]:
    n_classes = counted(len(document["classes"]), "class", "classes")
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
    yield f"Report: {document['report']}"


def _label(document: Document) -> Iterator[str]:
    n_classes = counted(len(document["classes"]), "class", "classes")
    calibrated = f", calibrated on {counted(document['n_train'], 'image')}" if document["is_calibrated"] else ""
    yield f"{document['head']} head for {n_classes} in words in {document['out']}{calibrated}."
    if document["accuracy"] is not None:
        yield from _figures(document)
        yield f"Report: {document['report']}"


def _figures(document: Document) -> Iterator[str]:
    low, high = document["confidence_interval"]
    images = f"{document['n_test']:,} {'images' if document.get('rows') == 'all' else 'held-out images'}"
    of_groups, over = _groups(document)
    yield f"Accuracy {document['accuracy']:.3f} on {images}{of_groups} (95 % interval{over} {low:.3f} to {high:.3f})."
    yield (
        f"Always the most frequent class: {document['baseline_accuracy']:.3f}. Macro F1 {document['macro_f1']:.3f},"
        f" expected calibration error {document['expected_calibration_error']:.3f}."
    )


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
        right = "" if precision is None else f", {_percent(precision)} of them right"
        yield f"With --abstain it predicts {_percent(abstain['coverage'])} of the held-out images{right}."


def _evaluate(document: Document) -> Iterator[str]:
    if "map" in document:
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
    yield from _prediction_sets(document["prediction_sets"])


def _prediction_sets(sets: Document | None) -> Iterator[str]:
    if sets:
        yield (
            f"Sets of {sets['mean_size']:.2f} classes on average, {sets['n_single']:,} of one; of"
            f" {counted(sets['n_held_out'], 'held-out image')} they hold the label of {_percent(sets['coverage'])}."
        )
    if sets and sets["pooled_classes"]:
        names = shorten([repr(name) for name in sets["pooled_classes"]])
        yield f"Too few held-out images for a threshold of their own, that of all is used: {names}."


def _drift(document: Document) -> Iterator[str]:
    bins = document["familiarity"]
    more = "less" if sum(bins[:5]) > sum(bins[5:]) else "more"
    reasons = [text.format(more=more) for name, text in _DRIFTS.items() if document[name]["is_different"]]
    images = counted(document["rows"], "image")
    verdict = " and ".join(reasons) if reasons else "No drift found"
    yield f"{verdict[0].upper()}{verdict[1:]}: {images} against {document['n_held_out']:,} held-out ones."
    share = _percent(document["unfamiliar_share"])
    yield f"Less familiar than 95 % of the held-out images: {document['n_unfamiliar']:,}, {share} (5 % without drift)."
    distance = document["class_test"]["statistic"]
    first = document["classes"][0]
    yield (
        f"Predicted classes differ for {_percent(distance)}, most {first['class']!r}:"
        f" {_percent(first['held_out_share'])} of the held-out images, {_percent(first['share'])} now."
    )
    yield f"Least familiar: {shorten([one['id'] for one in document['least_familiar']])}."


_DRIFTS = {
    "familiarity_test": "the images are {more} like the training images than held-out ones are",
    "class_test": "the predicted classes have other shares",
}


def _duplicates(document: Document) -> Iterator[str]:
    groups = counted(len(document["groups"]), "group")
    counts = f"{groups} of copies, {document['n_exact']:,} of them of equal files"
    rows, n_copies = counted(document["rows"], "image"), counted(document["n_duplicates"], "image")
    yield f"{counts}, among {rows}: {n_copies} could go."
    if document["n_look_alikes"]:
        yield f"{counted(document['n_look_alikes'], 'image')} only look alike, and are not moved."


_FINDINGS = {
    "label": "labels likely wrong",
    "duplicate_labels": "near-duplicates under two labels",
    "duplicate_split": "near-duplicates on both sides of the split",
    "outlier": "outliers",
    "small_class": "in classes too small to be split",
}


def _audit(document: Document) -> Iterator[str]:
    counts = [f"{n:,} {_FINDINGS[kind]}" for kind, n in document["counts"].items() if n]
    unlabelled = f" ({document['n_unlabelled']:,} without a label)" if document["n_unlabelled"] else ""
    rows = counted(document["rows"], "image")
    yield f"Of {rows}{unlabelled}: {', '.join(counts) or 'no findings'}."
    if document["accuracy"] is not None:
        judged = counted(document["n_judged"], "image")
        yield f"Heads that never saw them agree with {document['accuracy']:.3f} of the labels of {judged}."
    yield f"All findings: {document['out']} ({_seconds(document['seconds'])})."


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


def _map(document: Document) -> Iterator[str]:
    kept = f", with {_percent(document['kept'])} of the variance" if document.get("kept") is not None else ""
    points = f"{document['points']:,} of {counted(document['rows'], 'image')}"
    yield f"{points} in {document['out']}{kept}."


def _neighbours(document: Document) -> Iterator[str]:
    edges = f"{counted(document['edges'], 'edge')} between {counted(document['rows'], 'image')}"
    yield f"{edges} in {document['out']}: the {document['k']:,} nearest of each, by {document['metric']}."
    if document["recall"] is not None:
        measured = counted(document["recall_rows"], "image")
        yield f"Found by {document['kind']}: {_percent(document['recall'])} of the nearest, measured on {measured}."
    if document["n_zero"]:
        yield f"Vectors that are all zeros: {document['n_zero']:,}; their neighbours mean nothing."


def _export(document: Document) -> Iterator[str]:
    if "rows" in document:  # of a table
        yield f"{counted(document['rows'], 'image')} in {document['out']} ({format_size(document['bytes'])})."
        yield f"To open it: {document['opened_by']}"
        return
    network = f"{document['head']} head on {document['backbone']}" if "head" in document else document["backbone"]
    yield f"{network} in {document['out']} ({format_size(document['bytes'])})."
    images = counted(document["checked"], "image")
    if "largest_difference" in document:
        difference = f"no probability differs by more than {document['largest_difference']:.2g}"
    else:
        difference = f"least cosine {document['least_cosine']:.6f}"
    yield f"Checked against the original on {images}: {difference}."


def _import(document: Document) -> Iterator[str]:
    imported = f"{document['imported']:,} imported, {document['unchanged']:,} unchanged"
    yield f"{counted(document['rows'], 'vector')} of {document['dim']:,} numbers in {document['out']}: {imported}."


def _verify(document: Document) -> Iterator[str]:
    rows = f", {counted(document['rows'], 'row')}" if document.get("rows") is not None else ""
    yield f"{document['path']} ({document['kind']}{rows}): {'whole' if document['ok'] else 'broken'}."
    if document.get("sampled"):
        least = document["least_cosine"]
        yield f"{counted(document['sampled'], 'image')} embedded again" + (
            "." if least is None else f": least cosine {least:.6f} to the stored vectors."
        )
    for name, what in (("changed", "replaced since"), ("unreadable", "that can't be read again")):
        if names := document.get(name):
            yield f"{counted(len(names), 'image')} {what}: {shorten(names)}."


def _info(document: Document) -> Iterator[str]:
    yield from _INFO.get(document["kind"], _info_of_others)(document)


def _info_of_features(document: Document) -> Iterator[str]:
    rows, n_failed = counted(document["counts"]["rows"], "image"), document["counts"].get("failed")
    yield f"{document['path']}: features of {rows}, {format_size(document['bytes'])}."
    yield f"{_backbone(document['backbone'])}."
    yield f"Images of {document['source']}."
    if n_failed:
        reasons = shorten([f"{reason} {n:,}" for reason, n in document.get("failures", {}).items()])
        yield f"{counted(n_failed, 'image')} can't be used ({reasons}): see {document['path']}/failures.parquet."
    if names := [failure["id"] for failure in document.get("first_failures", ())]:
        yield f"Their names: {shorten(names, most=10)}."
    labels = [f"{label} {n:,}" for label, n in document["labels"].items()]
    if labels:
        rest = f"; {document['unlabelled']:,} without one" if document["unlabelled"] else ""
        yield f"{counted(len(labels), 'label')}: {shorten(labels)}{rest}."


def _backbone(spec: Document) -> str:
    side = "x".join(map(str, dict.fromkeys(filter(None, spec.get("image_size") or ()))))
    at = f" at {side} pixels" if side else ""
    options = [f"pixels {spec['pixels']}", spec["precision"]]
    options += [f"{name} {spec[name]}" for name in ("layer", "pool", "views") if spec.get(name)]
    options += ["knows words"] if spec.get("text_encoder") else []
    network = f"{spec['name']} ({spec['handle']})"
    return f"{counted(spec['dim'], 'number')} an image by {network}{at}, {', '.join(options)}"


def _info_of_index(document: Document) -> Iterator[str]:
    size = f"{document['rows']:,} x {document['dim']:,}, {document['metric']}, {format_size(document['bytes'])}"
    yield f"{document['path']}: {document['index_kind']} index of {document['features']['path']} ({size})."
    if document.get("recall_at_10") is not None:
        yield f"{_recall(document)}."
    yield document["why"]


def _recall(document: Document) -> str:
    rate = f"{document['queries_per_second']:,.0f} queries/s"
    return f"It finds {document['recall_at_10']:.3f} of the 10 nearest, {rate}"


def _info_of_head(document: Document) -> Iterator[str]:
    scores, split = document["scores"], document["split"]
    yield f"{document['path']}: {document['head']} head of {document['features']['path']}."
    yield f"{counted(len(document['classes']), 'class', 'classes')}: {shorten(document['classes'])}."
    if scores["accuracy"] is None:
        yield "Made of class names in words, and not measured."
    else:
        yield f"Accuracy {scores['accuracy']:.3f} on {counted(split['n_test'], 'held-out image')}."


def _info_of_others(document: Document) -> Iterator[str]:
    yield f"{document['path']}: {document['kind']}. --verbose prints all that its files say."


_INFO: dict[str, Callable[[Document], Iterator[str]]] = {
    "features": _info_of_features,
    "index": _info_of_index,
    "head": _info_of_head,
}

_SUMMARIES: dict[str, Callable[[Document], Iterator[str]]] = {
    "embed": _embed,
    "index": _index,
    "duplicates": _duplicates,
    "audit": _audit,
    "compare": _compare,
    "map": _map,
    "neighbours": _neighbours,
    "drift": _drift,
    "export": _export,
    "label": _label,
    "train": _train,
    "evaluate": _evaluate,
    "finetune": _finetune,
    "predict": _predict,
    "import": _import,
    "verify": _verify,
    "info": _info,
}


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
