"""Options that several commands share, and how a command ends."""

import shlex
from collections.abc import Callable
from typing import Any, TypeVar

import click

SOME_SKIPPED = 3
_FITS = ("squash", "crop", "pad")
_PIXELS = ("0..1", "-1..1", "0..255", "caffe", "torch")

_Command = TypeVar("_Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
force = click.option("--force", is_flag=True, help="Replace what is there.")
min_score = click.option(
    "--min-score",
    type=float,
    metavar="S",
    help="Lowest score of a pair of near-duplicates; drawn from the images by default.",
)
seed = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Decides every random choice."
)


def labels(command: _Command) -> _Command:
    """Give `--labels` and `--label` of a command that learns, measures or looks through labels."""
    command = click.option("--label", metavar="COLUMN", help="Column of labels, of the table or of --labels FILE.")(
        command
    )
    return click.option("--labels", metavar="FILE", help="Labels by id, in a CSV, TSV, JSONL or Parquet file.")(command)


weights = click.option("--weights", metavar="imagenet|random|FILE", help="For keras:NAME.  [default: imagenet]")
image_size = click.option(
    "--image-size", type=click.IntRange(min=1), metavar="N", help="Side in pixels that the network sees."
)
fit = click.option(
    "--fit", type=click.Choice(_FITS), default="squash", show_default=True, help="How an image meets it."
)
pixels = click.option("--pixels", type=click.Choice(_PIXELS), help="Range of pixels the network was trained on.")
trust_backbone = click.option(
    "--trust-backbone", is_flag=True, help="Run a SavedModel that reads or writes files or calls Python."
)
test_size = click.option("--test-size", default=0.2, show_default=True, help="Share of the labelled images held out.")
split = click.option("--split", metavar="COLUMN", help="Column that says train, val or test for each image.")
group = click.option(
    "--group", metavar="COLUMN|duplicates", help="Images of one value, or near-duplicates, come on one side."
)


def cluster(command: _Command) -> _Command:
    """Add --ray and --cpus-per-worker."""
    ray = click.option("--ray", metavar="auto|ADDRESS", help="Have the machines of a Ray cluster do the work.")
    cores = click.option(
        "--cpus-per-worker",
        type=click.IntRange(min=1),
        metavar="N",
        help="Cores of each of its workers.  [default: a GPU's or a machine's]",
    )
    return ray(cores(command))


def out(what: str) -> Callable[[_Command], _Command]:
    """Give the required `--out` option of a command that writes."""
    return click.option("--out", required=True, metavar="PATH", help=what)


def table_out(what: str) -> Callable[[_Command], _Command]:
    """Give the `--out` option of a command that can write what it found as a table, and `--force`."""
    named = click.option(
        "--out", metavar="FILE", help=f"Write the {what} as a table to FILE: .parquet, .csv or .jsonl."
    )
    return lambda command: named(force(command))


class Size(click.ParamType[int | None]):
    """A positive number, or `auto` for None."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Read the option's text."""
        if value is None or value == "auto":
            return None
        return click.IntRange(min=1).convert(value, param, ctx)


def warn(document: dict[str, Any]) -> None:
    """Say on stderr where an index or a head is older than its table."""
    from frieze import output

    if document.get("stale"):
        output.say(f"Note: {document['stale']}")


def warn_of_source(document: dict[str, Any]) -> None:
    """Say on stderr where shards lie among the images, and where labels and images do not match."""
    from frieze import output

    for pattern, n_shards in document["unread_shards"].items():
        where = f"embed them by themselves: {shlex.quote(pattern)}"
        output.say(f"Note: shards among the images that are not read: {n_shards:,}; {where}")
    n_unlabelled, n_unmatched = document["unlabelled"], document["unmatched_labels"]
    if n_unmatched is not None and n_unlabelled + n_unmatched:
        output.say(
            f"Note: images without a label: {n_unlabelled:,}; rows of labels that name no image: {n_unmatched:,}."
        )


def warn_of_labels(document: dict[str, Any]) -> None:
    """Say on stderr where rows of a file of labels name no image."""
    from frieze import output

    if document["unmatched_labels"]:
        output.say(f"Note: rows of labels that name no image: {document['unmatched_labels']:,}.")


def end(document: dict[str, Any], *, where: str, unit: str = "image") -> None:
    """Say what was skipped and leave with exit code 3, where something was."""
    from frieze import output

    n_failed = document["failed"]
    if n_failed:
        output.say(f"{n_failed:,} {unit}{'s' if n_failed > 1 else ''} can't be used: {where}")
        click.get_current_context().exit(SOME_SKIPPED)
