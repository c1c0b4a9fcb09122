"""Self-contained HTML: pictures of search results, scores and confusion of a head. Opens without a server."""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

from frieze.core import FeatureFileError, ImageError, InputError, counted, sweep_leftovers, write_text
from frieze.reports.thumbnails import draw_url

PAGE_NAME = "report.html"
"""File of a head's folder with its figures as a page."""

_THUMBNAIL_PX = 128
_MOST_GROUPS, _MOST_IMAGES = 200, 24  # of duplicates: each picture is read, and is in the page
_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
  color: #222; background: #fff }
h2 { margin-top: 2.5rem }
h3 { font-weight: 600; overflow-wrap: anywhere }
.row { display: flex; flex-wrap: wrap; gap: .6rem }
figure { margin: 0; width: 128px }
figure img, figure .lost { width: 128px; height: 128px; object-fit: contain; background: #f3f3f3; display: block }
figure .lost { display: grid; place-items: center; color: #777 }
figcaption { font-size: 12px; overflow-wrap: anywhere; white-space: pre-line }
figure.query img { outline: 3px solid #2a6fdb }
figure.keep img { outline: 3px solid #2f9e44 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; text-align: right }
th:first-child { text-align: left }
thead th { border-bottom: 1px solid #999 }
.wide { overflow-x: auto }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818 }
  figure img, figure .lost { background: #262626 }
}
"""


_DOCTYPE = '<!doctype html><html lang="en">'


def check_page(path: Path) -> None:
    """Refuse to write a page over anything but a page of ours; what killed runs left beside it is swept away.

    Raises:
        InputError: Something else stands there.
    """
    sweep_leftovers(path)
    if path.is_dir() or (path.exists() and not path.read_bytes().startswith(_DOCTYPE.encode())):
        raise InputError(f"{path} is there already and is no page of ours.", hint="Give another file's name.")


def write_report(
    path: str | Path,
    *,
    title: str,
    found: dict[str, Any] | None = None,
    duplicates: dict[str, Any] | None = None,
    head: str | Path | None = None,
) -> None:
    """Write search results, duplicates and a head's scores as one page that opens without a server.

    Args:
        path: The HTML file; replaced whole.
        title: Plain text.
        found: What `frieze.search` returned; its hits are shown as pictures.
        duplicates: What `frieze.duplicates` returned; the first groups are shown as pictures, the one to keep first.
        head: Folder of a head; its scores, confusion matrix and surest mistakes are shown.
    """
    sections = [] if found is None else [_search_section(found)]
    sections += [] if duplicates is None else [_duplicates_section(duplicates)]
    sections += [] if head is None else [_head_section(Path(head))]
    write_page(Path(path), title=title, body="".join(sections))


def head_page(title: str) -> Callable[[Path], None]:
    """Give what writes the page of a head into its folder."""
    return lambda folder: write_report(folder / PAGE_NAME, title=title, head=folder)


def write_page(path: Path, *, title: str, body: str, style: str = _STYLE) -> None:
    """Write a page of ours, whole.

    Args:
        path: The HTML file.
        title: Plain text.
        body: What stands below the title, as HTML.
        style: Of the page, as CSS.

    Raises:
        InputError: Something that is no page of ours stands at `path`.
    """
    check_page(path)
    page = (
        f"{_DOCTYPE}<head>"
        f'<meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>'
        f"<body><h1>{html.escape(title)}</h1>{body}</body></html>"
    )
    write_text(path, page)


def _search_section(document: dict[str, Any]) -> str:
    return "<h2>Similar images</h2>" + "".join(_results(one) for one in document["queries"])


def _results(found: dict[str, Any]) -> str:
    query, hits = found["query"], found["hits"]
    shown = [hit for hit in hits if f"id:{hit['id']}" != query]
    itself = [hit["uri"] for hit in hits if hit not in shown] or [query]
    pictures = [figure(itself[0], "query", kind="query")]
    pictures += [figure(hit["uri"], f"{hit['score']:.3f} {hit['label'] or ''} {hit['id']}") for hit in shown]
    return f'<h3>{html.escape(query)}</h3><div class="row">{"".join(pictures)}</div>'


def _duplicates_section(document: dict[str, Any]) -> str:
    groups = document["groups"]
    n_left = len(groups) - len(groups[:_MOST_GROUPS])
    more = f"<p>{counted(n_left, 'more group is', 'more groups are')} left out.</p>" if n_left else ""
    facts = (
        f"<p>{counted(len(groups), 'group')} among {counted(document['rows'], 'image')};"
        f" {counted(document['n_duplicates'], 'image')} could go. "
        "The one to keep is framed.</p>"
    )
    return "<h2>Duplicates</h2>" + facts + "".join(map(_group, groups[:_MOST_GROUPS])) + more


def _group(group: dict[str, Any]) -> str:
    ids, uris = group["ids"], group["uris"]
    how = "equal files" if group["exact"] else f"lowest score {group['min_score']:.3f}"
    shown = list(zip(ids, uris, strict=True))[:_MOST_IMAGES]
    pictures = [figure(uri, name, kind="" if number else "keep") for number, (name, uri) in enumerate(shown)]
    n_left = len(ids) - len(shown)
    more = f"<p>and {n_left:,} more</p>" if n_left else ""
    return f'<h3>{len(ids):,} images, {how}</h3><div class="row">{"".join(pictures)}</div>{more}'


def figure(uri: str, caption: str, *, kind: str = "") -> str:
    """Give a picture with its caption, both escaped; one that is lost says why.

    Args:
        uri: The image.
        caption: Plain text.
        kind: Its class in the page's style: `query`, `keep` or none.
    """
    named = f' class="{kind}"' if kind else ""
    return f"<figure{named}>{_picture(uri)}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _picture(uri: str) -> str:
    try:
        url = draw_url(uri, _THUMBNAIL_PX)
    except ImageError as error:
        return f'<div class="lost">{html.escape(error.reason)}</div>'
    return f'<img alt="{html.escape(uri)}" src="{url}">'


def _head_section(head: Path) -> str:
    from frieze.classifiers import read_report

    report = read_report(head)
    try:
        return _head_figures(report)
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # of a head that does not list its files
        raise FeatureFileError(
            f"{head / 'report.json'} can't be used: {error!r}.", hint="Train the head again with --force."
        ) from error


def _head_figures(report: dict[str, Any]) -> str:
    low, high = report["confidence_interval"]
    return (
        f"<h2>Head: {html.escape(report['head'])}</h2>"
        f"<p>Accuracy <b>{report['accuracy']:.1%}</b> on {counted(report['n_test'], 'held-out image')}"
        f" (95 % interval {low:.1%} to {high:.1%}), macro F1 {report['macro_f1']:.3f},"
        f" expected calibration error {report['expected_calibration_error']:.3f};"
        f" trained on {counted(report['n_train'], 'image')}.</p>"
        f"{''.join(f'<p>{html.escape(line)}</p>' for line in _remarks(report))}"
        f"{_finetuning(report) if 'probe' in report else ''}"
        f"{_classes(report)}{_confusion(report)}{_mistakes(report)}"
    )


def _finetuning(report: dict[str, Any]) -> str:
    """Show the probe and what became of it side by side, and each epoch."""
    sides = [_side(name, one) for name, one in (("probe", report["probe"]), ("fine-tuned", report))]
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")
    epochs = [
        [str(number), *(f"{epoch[name]:.4f}" if name in epoch else "" for name in names)]
        for number, epoch in enumerate(report["history"])
    ]
    return (
        f"<h3>Fine-tuned: {html.escape(report['unfrozen'])}</h3>"
        + _table(["", "accuracy", "95 % interval", "macro F1", "calibration error"], sides)
        + f"<h3>Epochs: number {report['best_epoch']} is kept, 0 is the start</h3>"
        + _table(["epoch", "loss", "accuracy", "validation loss", "validation accuracy", "seconds"], epochs)
    )


def _side(name: str, report: dict[str, Any]) -> list[str]:
    low, high = report["confidence_interval"]
    figures = (f"{report[figure]:.3f}" for figure in ("macro_f1", "expected_calibration_error"))
    return [name, f"{report['accuracy']:.1%}", f"{low:.1%} to {high:.1%}", *figures]


def _remarks(report: dict[str, Any]) -> list[str]:
    """Say what else was chosen and found, a sentence each."""
    found: list[str] = [
        f"{name} = {value:g}, chosen on training images." for name, value in report.get("setting", {}).items()
    ]
    if "shots" in report:
        shots = report["shots"]
        found.append(
            f"Over {shots['draws']} draws of {shots['per_class']} images a class the accuracy is"
            f" {shots['mean_accuracy']:.1%}, with a standard deviation of {shots['standard_deviation']:.1%}."
        )
    if "naive_accuracy" in report:
        found.append(f"A split that parts the groups would have told an accuracy of {report['naive_accuracy']:.1%}.")
    if "abstain" in report:
        told, right = report["abstain"], report["abstain"]["precision_on_test"]
        found.append(
            f"Below a probability of {told['threshold']:.3f} it abstains: it answers {told['coverage']:.1%} of the"
            f" held-out images{'' if right is None else f', {right:.1%} of them right'}."
        )
    return [*found, *report.get("notes", [])]


def _classes(report: dict[str, Any]) -> str:
    rows = [
        [one["class"], *(f"{one[name]:.3f}" for name in ("precision", "recall", "f1")), str(one["n_test"])]
        for one in report["per_class"]
    ]
    return "<h3>Classes</h3>" + _table(["class", "precision", "recall", "F1", "held out"], rows)


def _confusion(report: dict[str, Any]) -> str:
    classes = report["classes"]
    most = max((n for row in report["confusion"] for n in row), default=1) or 1
    cells = [
        f"<tr><th>{html.escape(name)}</th>"
        + "".join(f'<td style="background: rgb(42 111 219 / {n / most:.2f})">{n}</td>' for n in row)
        + "</tr>"
        for name, row in zip(classes, report["confusion"], strict=True)
    ]
    return (
        "<h3>Confusion: rows are true, columns predicted</h3>"
        f'<div class="wide"><table><thead>{_header(["", *classes])}</thead>{"".join(cells)}</table></div>'
    )


def _mistakes(report: dict[str, Any]) -> str:
    pictures = [
        figure(one["uri"], f"{one['prediction']} ({one['probability']:.0%}), labelled {one['label']}: {one['id']}")
        for one in report["mistakes"]
    ]
    return f'<h3>Surest mistakes</h3><div class="row">{"".join(pictures) or "None."}</div>'


def _table(header: list[str], rows: list[list[str]]) -> str:
    body = "".join(
        f"<tr><th>{html.escape(row[0])}</th>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead>{_header(header)}</thead>{body}</table></div>'


def _header(names: list[str]) -> str:
    return "<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in names) + "</tr>"
