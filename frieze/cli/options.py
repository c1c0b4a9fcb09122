"""Options, notes and exit codes that several commands share."""

import shlex
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

SOME_SKIPPED, SOME_MISSING = 3, 4
_MOST_OF_ONE_CLASS = 0.9
"""Share of the most frequent class above which any head has a high accuracy."""
_FITS = ("squash", "crop", "pad")
_POOLS = ("avg", "max", "gem", "cls", "none")
_DESCRIBE = ("info", "evaluate")
"""Commands whose lines are the result asked for; others write something."""
_RANGES = ("0..1", "-1..1", "0..255", "caffe", "torch", "clip")

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _set_quiet(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from frieze import terminal  # here, so that --help does not wait for NumPy

        terminal.set_quiet(is_quiet=True)
        context.call_on_close(lambda: terminal.set_quiet(is_quiet=False))


quiet = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_set_quiet,
    help="Print only errors and the result asked for.",
)


def as_json(command: _Command) -> _Command:
    """Add `--quiet` and `--json`."""
    return quiet(click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")(command))


verbose = click.option("-v", "--verbose", is_flag=True, help="Print all fields.")
force = click.option("--force", is_flag=True, help="Replace what is there.")
min_score = click.option(
    "--min-score",
    type=float,
    metavar="S",
    help="Minimum score of a pair of near-duplicates.  [default: estimated from the images]",
)
seed = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of every random choice."
)


class _FileName(click.types.StringParamType):
    """A text for which shells complete names of files; it need not be one."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Leave the completion to the shell."""
        del ctx, param
        return [CompletionItem(incomplete, type="file")]


_NAMES_OF_FILES = ("PATH", "FILE", "FOLDER", "HEAD", "SOURCE")


def complete_files(command: click.Command) -> None:
    """Let shells complete names of files for a command's arguments, and for options that take one."""
    for one in command.params:
        if one.type is click.STRING and (isinstance(one, click.Argument) or one.metavar in _NAMES_OF_FILES):
            one.type = _FileName()


def labels(command: _Command) -> _Command:
    """Add `--labels` and `--label`."""
    command = click.option("--label", metavar="COLUMN", help="Column of labels, of the table or of --labels FILE.")(
        command
    )
    return click.option("--labels", metavar="FILE", help="Labels by id, in a CSV, TSV, JSONL or Parquet file.")(command)


class _ImageSize(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.5
    """A side in pixels, or height and width."""

    name = "N|HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the option's text."""
        texts: list[Any] = str(value).lower().split("x")
        sides = [click.IntRange(min=1).convert(text, param, ctx) for text in texts]
        if len(sides) > 2:  # noqa: PLR2004
            self.fail(f"{value} has more than height and width.", param, ctx)
        return sides[0] if len(set(sides)) == 1 else "x".join(map(str, sides))


class OrDefault(click.Option):
    """An option that keeps its value of the last run where it is omitted; an empty text restores its default."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Parse the option's text."""
        return value if value == "" else super().type_cast_value(ctx, value)


class PerTable(OrDefault):
    """An option that can be repeated, once for each table: its value is None, one value, or a list of several."""

    def __init__(self, *args: Any, **attrs: Any) -> None:
        super().__init__(*args, **attrs | {"multiple": True})

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Parse the option's texts."""
        return tuple(one if one == "" else click.Option.type_cast_value(self, ctx, [one])[0] for one in value or ())

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Parse the option's texts; a single one is no list."""
        values = super().process_value(ctx, value)
        return list(values) if len(values) > 1 else next(iter(values), None)


def _image_size(kind: type[click.Option]) -> Callable[[_Command], _Command]:
    text = "Side of the network's input in pixels, or height x width."
    return click.option("--image-size", cls=kind, type=_ImageSize(), metavar="N|HxW", help=text)


def _fit(kind: type[click.Option]) -> Callable[[_Command], _Command]:
    text = "How an image is resized to it.  [default: squash]"
    return click.option("--fit", cls=kind, type=click.Choice(_FITS), help=text)


def _pixels(kind: type[click.Option]) -> Callable[[_Command], _Command]:
    text = "Range of pixels the network was trained on."
    return click.option("--pixels", cls=kind, type=click.Choice(_RANGES), help=text)


def _pool(kind: type[click.Option]) -> Callable[[_Command], _Command]:
    text = "How maps or tokens become one vector.  [default: avg of maps; tokens need one]"
    return click.option("--pool", cls=kind, type=click.Choice(_POOLS), help=text)


image_size, fit, pixels, pool = _image_size(OrDefault), _fit(OrDefault), _pixels(OrDefault), _pool(OrDefault)
image_sizes, fits, pixel_ranges, pools = _image_size(PerTable), _fit(PerTable), _pixels(PerTable), _pool(PerTable)
"""The same, once for each table."""
_WEIGHTS = {"metavar": "imagenet|random|FILE", "help": "For keras:NAME.  [default: imagenet]"}
weights, weights_of_each = (click.option("--weights", cls=kind, **_WEIGHTS) for kind in (click.Option, PerTable))
trust_backbone = click.option(
    "--trust-backbone", is_flag=True, help="Run a SavedModel that reads or writes files or calls Python."
)
test_size = click.option("--test-size", default=0.2, show_default=True, help="Share of the labelled images held out.")
split = click.option("--split", metavar="COLUMN", help="Column that says train, val or test for each image.")
group = click.option(
    "--group",
    metavar="COLUMN|duplicates",
    help="Keep images of one group, or near-duplicates, on one side of the split.",
)


def cluster(command: _Command) -> _Command:
    """Add --ray and --cpus-per-worker."""
    ray = click.option("--ray", metavar="auto|ADDRESS", help="Run on the machines of a Ray cluster.")
    cores = click.option(
        "--cpus-per-worker",
        type=click.IntRange(min=1),
        metavar="N",
        help="Cores of each Ray worker.  [default: a GPU's or a machine's]",
    )
    return ray(cores(command))


def out(what: str) -> Callable[[_Command], _Command]:
    """Return the required `--out` option of a command that writes."""
    return click.option("--out", required=True, metavar="PATH", help=what)


def table_out(what: str) -> Callable[[_Command], _Command]:
    """Return the `--out` and `--force` options of a command that can write its results as a table."""
    option = click.option(
        "--out", metavar="FILE", help=f"Write the {what} as a table to FILE: .parquet, .csv or .jsonl."
    )
    return lambda command: option(force(command))


class Size(click.ParamType):  # type: ignore[type-arg]
    """A positive number, or `auto` for None."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Parse the option's text."""
        if value is None or value == "auto":
            return None
        return click.IntRange(min=1).convert(value, param, ctx)


def show_changes(document: dict[str, Any]) -> None:
    """Print which options a rerun kept or changed, and which settings do not apply because of it."""
    from frieze import terminal

    terminal.log_changes(document)
    warn_of_settings(document)


def warn_of_settings(document: dict[str, Any]) -> None:
    """Print which settings of variables and files differ from the options that an output keeps."""
    from frieze import terminal
    from frieze.cli.settings import describe_conflicts

    for line in describe_conflicts(document):
        terminal.show_note(line)


def warn_if_stale(document: dict[str, Any]) -> None:
    """Print a note where an index or a head is older than its table."""
    from frieze import terminal

    if document.get("stale"):
        terminal.show_note(f"{document['stale']}")


def warn_of_unread(document: dict[str, Any]) -> None:
    """Print what of a source is not read."""
    from frieze import terminal

    if document["ignored"] > sum(document["unread_shards"].values()):
        formats = ", ".join(f"{n:,} {name}" for name, n in document["ignored_formats"].items())
        terminal.show_note(f"files that are no images and are ignored: {document['ignored']:,} ({formats}).")
    for name, unread in document["unread_pictures"].items():
        terminal.show_note(f"pictures that are not read, {name}: {unread['images']:,}; to have them: {unread['hint']}")
    for pattern, n_shards in document["unread_shards"].items():
        where = f"embed them by themselves: {shlex.quote(pattern)}"
        terminal.show_note(f"shards among the images that are not read: {n_shards:,}; {where}")
    for note in document["notes"]:
        terminal.show_note(f"{note}")


def warn_of_source(document: dict[str, Any]) -> None:
    """Print what of a source is not read, and which labels and patterns match no image."""
    from frieze import terminal

    warn_of_unread(document)
    for pattern, n_excluded in document["excluded"].items():
        if not n_excluded:
            terminal.show_note(f"--exclude {shlex.quote(pattern)} leaves out nothing.")
    n_unlabelled, n_unmatched = document["unlabelled"], document["unmatched_labels"]
    if n_unmatched is not None and n_unlabelled + n_unmatched:
        terminal.show_note(
            f"images without a label: {n_unlabelled:,}; rows of labels that name no image: {n_unmatched:,}."
        )


def warn_of_vectors(document: dict[str, Any]) -> None:
    """Print what is unusual about imported vectors."""
    from frieze import terminal

    for note in document.get("notes", ()):
        terminal.show_note(f"{note}.")
    n_zero, n_rows, n_constant = document["n_zero"], document["imported"], document["constant"]
    if n_zero:
        terminal.show_note(f"vectors that are all zeros: {n_zero:,} of {n_rows:,}; they are similar to nothing.")
    if 2 * n_constant >= document["dim"]:
        terminal.show_note(f"numbers that are the same in every vector: {n_constant:,} of {document['dim']:,}.")


def warn_of_removed(document: dict[str, Any]) -> None:
    """Print how many rows were removed from a table, from which folders, and which empty folders keep their rows."""
    from frieze import terminal
    from frieze.core import counted, shorten

    removed, kept = (
        shorten([f"{name} ({n:,})" for name, n in document[field].items()])
        for field in ("removed_folders", "kept_folders")
    )
    if document["removed"]:
        how = "would remove" if document.get("dry_run") else "removed"
        whole = f", among them all of {removed}" if removed else ""
        terminal.show_note(f"{how} {counted(document['removed'], 'row')} whose images the source no longer has{whole}.")
    if kept:
        hint = "mount the disk that belongs there or, where the images are gone for good, delete the folder"
        terminal.show_note(f"empty now, and all rows of it stay: {kept}; {hint}.")


def warn_of_images(document: dict[str, Any], *, hint: str) -> None:
    """Print what the embeddings do not show of their images, such as animations and colour profiles.

    Args:
        document: The command's document.
        hint: What to do about images of more than 8 bits per channel that look nearly black or uniform to the network.
    """
    from frieze import terminal
    from frieze.embedder import describe_tally

    for line in describe_tally(document, hint=hint):
        terminal.show_note(f"{line}")


def warn_of_labels(document: dict[str, Any]) -> None:
    """Print which rows of a file of labels match no image, and warnings about how it was read."""
    from frieze import terminal

    if document["unmatched_labels"]:
        terminal.show_note(f"rows of labels that name no image: {document['unmatched_labels']:,}.")
    for note in document["label_notes"]:
        terminal.show_note(f"{note}")


def warn_of_baseline(document: dict[str, Any]) -> None:
    """Print a note where the accuracy is no better than always guessing the most frequent class."""
    from frieze import terminal

    if document.get("multilabel"):
        return
    accuracy, baseline = document["accuracy"], document["baseline_accuracy"]
    if baseline >= _MOST_OF_ONE_CLASS or accuracy <= baseline:
        terminal.show_note(
            f"{baseline:.1%} of the held-out images are of one class: always to predict it is right as often. The"
            f" accuracy is {accuracy:.1%}, the macro F1, where each class counts alike, {document['macro_f1']:.3f}."
        )


def end(document: dict[str, Any], *, where: str, unit: str = "image") -> None:
    """Exit with code 3 and a message where inputs were skipped."""
    end_all({where: document}, unit=unit)


def end_all(documents: Mapping[str, dict[str, Any]], *, unit: str = "image") -> None:
    """Exit with code 3 and a message for each document of which inputs were skipped.

    Args:
        documents: Where to look for what was skipped -> document.
        unit: What is skipped.
    """
    from frieze import terminal
    from frieze.core import counted

    failed = {where: document["failed"] for where, document in documents.items() if document["failed"]}
    for where, n_failed in failed.items():
        skipped = f"{counted(n_failed, unit)} can't be used{_reasons(documents[where])}"
        terminal.show_message(f"{skipped}: {where}", is_error=True)
    if failed:
        click.get_current_context().exit(SOME_SKIPPED)


def _reasons(document: dict[str, Any]) -> str:
    """Return the reasons of failures with their numbers; empty where the document lists the failures themselves."""
    reasons = document.get("failures")
    return f" ({', '.join(f'{reason} {n:,}' for reason, n in reasons.items())})" if isinstance(reasons, dict) else ""


def show_summary(command: str, document: Mapping[str, Any], *, verbose: bool) -> None:
    """Print the lines that accompany a table that a command prints: few, or all fields."""
    from frieze import terminal
    from frieze.cli.summaries import summarize

    terminal.show_summary(terminal.to_lines(document) if verbose else summarize(command, document))


def show(command: str, document: dict[str, Any], *, as_json: bool, verbose: bool) -> None:
    """Print a command's document on stdout: in a few lines, with `--verbose` all fields, or as JSON."""
    from frieze import terminal
    from frieze.cli.summaries import summarize

    if as_json:
        terminal.show_json(document)
    elif terminal.is_quiet() and command not in _DESCRIBE:
        return
    elif verbose:
        terminal.show_fields(document)
    else:
        terminal.show_lines(summarize(command, document))
