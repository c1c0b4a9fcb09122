"""What each command prints for people: one to six lines; `--verbose` prints all fields, `--json` those for programs."""

from collections.abc import Callable, Iterator

from frieze.cli.head_summaries import HEAD_SUMMARIES, Document, format_percent, format_seconds
from frieze.core import counted, format_size, shorten

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
        start = f"after {format_seconds(document['startup_seconds'])} to start"
        yield f"{format_seconds(document['seconds'])} {start}. {document['advice'] or ''}".rstrip()


def _dry_run(document: Document) -> Iterator[str]:
    counts = (
        f"{document['to_embed']:,} to embed, {document['unchanged']:,} unchanged, {document['removed']:,} to remove"
    )
    yield f"{counted(document['images'], 'image')}: {counts}. Nothing was written."
    if document["to_embed"]:
        disk = f", {format_size(document['bytes'])} on disk" if document["bytes"] else ""
        free = f" ({format_size(document['free_bytes'])} free)" if document["free_bytes"] else ""
        time, rate = format_seconds(document["seconds"]), f"{document['images_per_second']:,.0f}"
        yield f"About {time} at {rate} images/s{disk}{free}."


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
    yield f"{document['why']} Built in {format_seconds(document['build_seconds'])}."


def _duplicates(document: Document) -> Iterator[str]:
    groups = counted(len(document["groups"]), "group")
    counts = f"{groups} of copies, {document['n_exact']:,} of them of equal files"
    rows, n_copies = counted(document["rows"], "image"), counted(document["n_duplicates"], "image")
    yield f"{counts}, among {rows}: {n_copies} could go."
    if document["n_look_alikes"]:
        yield f"{counted(document['n_look_alikes'], 'image')} only look alike, and are not moved."


_FINDINGS = {
    "label": "labels likely wrong",
    "missing_label": "labels likely missing",
    "wrong_label": "labels of lists likely wrong",
    "duplicate_labels": "near-duplicates under two labels",
    "duplicate_split": "near-duplicates on both sides of the split",
    "outlier": "outliers",
    "small_class": "in classes too small to be split",
    "dark": "dark",
    "blurred": "blurred",
    "odd_size": "of an odd shape",
}


def _audit(document: Document) -> Iterator[str]:
    counts = [f"{n:,} {_FINDINGS[kind]}" for kind, n in document["counts"].items() if n]
    unlabelled = f" ({document['n_unlabelled']:,} without a label)" if document["n_unlabelled"] else ""
    rows = counted(document["rows"], "image")
    yield f"Of {rows}{unlabelled}: {', '.join(counts) or 'no findings'}."
    if document["accuracy"] is not None:
        judged = counted(document["n_judged"], "image")
        yield f"Heads that never saw them agree with {document['accuracy']:.3f} of the labels of {judged}."
    elif document.get("map") is not None:
        judged = counted(document["n_judged"], "image")
        yield f"mAP {document['map']:.3f} of heads that never saw them, on {judged}."
    yield f"All findings: {document['out']} ({format_seconds(document['seconds'])})."


def _map(document: Document) -> Iterator[str]:
    kept = f", with {format_percent(document['kept'])} of the variance" if document.get("kept") is not None else ""
    points = f"{document['points']:,} of {counted(document['rows'], 'image')}"
    yield f"{points} in {document['out']}{kept}."


def _neighbours(document: Document) -> Iterator[str]:
    edges = f"{counted(document['edges'], 'edge')} between {counted(document['rows'], 'image')}"
    yield f"{edges} in {document['out']}: the {document['k']:,} nearest of each, by {document['metric']}."
    if document["recall"] is not None:
        measured = counted(document["recall_rows"], "image")
        recall = format_percent(document["recall"])
        yield f"Found by {document['kind']}: {recall} of the nearest, measured on {measured}."
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
    if document.get("multilabel"):
        yield f"Several labels an image: mAP {scores['map']:.3f} on {counted(split['n_test'], 'held-out image')}."
    elif scores["accuracy"] is None:
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
    **HEAD_SUMMARIES,
    "embed": _embed,
    "index": _index,
    "duplicates": _duplicates,
    "audit": _audit,
    "map": _map,
    "neighbours": _neighbours,
    "export": _export,
    "import": _import,
    "verify": _verify,
    "info": _info,
}
