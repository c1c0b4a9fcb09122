"""`frieze.train`, `frieze.compare`, `frieze.evaluate` and `frieze.predict`."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frieze import core, terminal
from frieze import features as stored
from frieze.api.comparing import compare_backbones
from frieze.api.duplicate_groups import keep_together, split_by_group
from frieze.api.folder_kinds import check_kind
from frieze.api.label_source import open_labelled, open_labelled_as
from frieze.api.paths import to_local_path
from frieze.api.remembered_options import TrainOptions, resolve_train_options
from frieze.core import InputError
from frieze.reports.html import PAGE_NAME, head_page

if TYPE_CHECKING:
    from frieze.classifiers import StartWeights


def train(
    features: str | Path,
    *,
    out: str | Path,
    head: str | None = None,
    kernel: str | None = None,
    labels: str | Path | None = None,
    label: str | None = None,
    test_size: float | str | None = None,
    split: str | None = None,
    group: str | None = None,
    shots: int | str | None = None,
    balanced: bool | None = None,
    start_from: str | Path | None = None,
    abstain: float | str | None = None,
    layers: str | int | None = None,
    dropout: float | str | None = None,
    epochs: int | str | None = None,
    patience: int | str | None = None,
    learning_curve: bool = False,
    max_memory: str | int | None = None,
    seed: int | str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Train a head on stored features and measure it on held-out images.

    Labels that are lists, one or several or none an image, train a one-vs-rest head with a threshold for each label;
    `head` is `linear` or `svm` then.

    With `force`, an option that is None keeps the value stored in the head at `out`, where that is of the same table
    and not fine-tuned; else it has its default. An empty text restores the default.

    Args:
        features: The table's folder.
        out: Folder of the head; `report.html` is written there, too.
        head: `linear`, `svm`, `ridge`, `knn`, `prototype` or `keras`; `linear` by default.
        kernel: Of `svm`: `linear` (the default) or `rbf`.
        labels: A file with ids and the labels to learn; by default those of the table.
        label: The column of the labels, of that file or else of the table.
        test_size: Share of the labelled images held out, in (0, 1); a fifth by default.
        split: A column of the table that says `train`, `val` or `test` for each image.
        group: A column of the table, or `duplicates`: images of one group, or near-duplicates, stay on one side of the
            split.
        shots: Train on this many images per class, drawn ten times; the spread over the draws is reported.
        balanced: Weight classes equally, however many images each has.
        start_from: For `linear`: a head of the same backbone, such as one of `label`. The fit penalises the distance
            from its weights instead of that from zero, unless the folds of the training images are better without.
        abstain: Target precision, in (0, 1): below a probability threshold the head gives no answer.
        layers: For `keras`: units of each hidden layer, comma-separated; `128` by default.
        dropout: For `keras`: dropout rate, in [0, 1); 0 by default.
        epochs: For `keras`: maximum number of epochs; 100 by default.
        patience: For `keras`: early stopping: epochs without a gain on validation images; 5 by default.
        learning_curve: Fit heads on an eighth, a quarter and a half of the training images, too, and forecast what
            twice and four times as many would bring.
        max_memory: Memory limit of the process, such as `4GB`: embeddings that do not fit are streamed in passes. By
            default half of the free memory, for the embeddings alone.
        seed: Seed of the split and every other random choice; 0 by default.
        force: Replace an existing head, with the options that it was made with.

    Returns:
        Accuracy with its 95 % interval, macro F1, calibration error, counts and seconds; of lists mean average
        precision with its interval in place of the accuracy; options taken from the existing head (`remembered`), and
        those that differ from it (`changed`).

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    return _train(**locals())


def _train(
    features: str | Path,
    *,
    out: str | Path,
    learning_curve: bool,
    max_memory: str | int | None,
    force: bool,
    **given: Any,
) -> dict[str, Any]:
    import frieze.classifiers

    head_path = to_local_path(out)
    resolved = resolve_train_options(given, features, head_path, force=force)
    options = TrainOptions(**resolved.options)
    table, label_info = open_labelled(features, labels=options.labels, label=options.label)
    network = frieze.classifiers.Network(to_units(options.layers), options.dropout, options.epochs, options.patience)
    config = frieze.classifiers.HeadConfig(
        frieze.classifiers.name_head(options.head, options.kernel),
        seed=options.seed,
        is_balanced=options.balanced,
        precision=options.abstain,
        network=network,
        memory_bytes=None if max_memory is None else core.parse_size(max_memory),
        start=_open_start(options.start_from, table),
        has_curve=learning_curve,
    )
    split = frieze.classifiers.SplitConfig(options.test_size, options.seed, column=options.split, shots=options.shots)
    split = split_by_group(split, table, head_path, group=options.group)
    trains = frieze.classifiers.train_multilabel if table.has_label_lists else frieze.classifiers.train_head
    with terminal.spinner("Training"):
        document = trains(
            table,
            head_path,
            config=config,
            split_config=split,
            force=force,
            write_page=head_page("Head", table.spec.decoding),
        )
    return document | label_info | resolved.to_json() | {"report": str(Path(out) / PAGE_NAME)}


def _open_start(path: str | None, table: stored.Features) -> "StartWeights | None":
    """Return the weights to start from; None for none."""
    import frieze.classifiers

    if path is None:
        return None
    check_kind(to_local_path(path), "head")
    return frieze.classifiers.open_start(to_local_path(path), table)


def to_units(layers: str | int) -> tuple[int, ...]:
    """Parse the units of hidden layers.

    Raises:
        InputError: They are not comma-separated numbers.

    >>> to_units("256,128"), to_units(64)
    ((256, 128), (64,))
    """
    try:
        return tuple(int(units) for units in str(layers).split(","))
    except ValueError as error:
        raise core.InputError(
            f"`layers` is {layers}: no units of hidden layers.", hint="Use for example `layers='256,128'`"
        ) from error


def compare(  # the mirror of a command
    features: str | Path | Sequence[str | Path],
    *,
    heads: str | Sequence[str] = "linear,svm,knn",
    labels: str | Path | None = None,
    label: str | None = None,
    test_size: float = 0.2,
    split: str | None = None,
    group: str | None = None,
    seed: int = 0,
    backbones: str | Sequence[str] | None = None,
    sample: int = 500,
    pixels: str | None = None,
    pool: str | None = None,
) -> dict[str, Any]:
    """Fit several heads on several tables of the same images, and score all on the same held-out images.

    With `backbones` the first argument is a source of images instead: a sample of them is decoded once and embedded by
    each backbone. Backbones are ranked by a linear head where there are labels, and where there are none by how often
    a crop finds the image that it was cut from.

    Args:
        features: The tables' folders; or a source of images, with `backbones`.
        heads: Kinds of head, comma-separated or a list.
        labels: A file with ids and labels; by default the labels of the tables.
        label: The column of the labels, of that file or else of the tables.
        test_size: Share of the labelled images held out, in (0, 1).
        split: A column of the first table that says `train`, `val` or `test` for each image.
        group: A column of the first table: images of one group stay on one side of the split.
        seed: Seed of the split and every other random choice.
        backbones: Backbones as `embed` takes them, comma-separated or a list. With these `heads`, `test_size`, `split`
            and `group` stay as they are.
        sample: With `backbones`: images to draw, the same share of each label.
        pixels: Range of pixels of those of `backbones` that state none, as for `embed`.
        pool: Pooling of those that give maps or tokens.

    Returns:
        `rows`: one for each table and head, the highest accuracy first; or one for each backbone, and `advice`.

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    if backbones is not None:
        _check_of_backbones(heads=heads, test_size=test_size, split=split, group=group)
        source = features[0] if isinstance(features, tuple) and len(features) == 1 else features
        return compare_backbones(
            source, backbones, sample=sample, pixels=pixels, pool=pool, labels=labels, label=label, seed=seed
        )
    import frieze.classifiers

    paths = [features] if isinstance(features, str | Path) else list(features)
    kinds = heads.split(",") if isinstance(heads, str) else heads
    configs = [frieze.classifiers.HeadConfig(name.strip(), seed=seed) for name in kinds]
    split_config = frieze.classifiers.SplitConfig(test_size=test_size, seed=seed, column=split, group=group)
    opened = [open_labelled(path, labels=labels, label=label) for path in paths]
    split_config = keep_together(split_config, opened[0][0])
    with terminal.spinner("Comparing"):
        document = frieze.classifiers.compare_heads([table for table, _ in opened], configs, split_config)
    return document | opened[0][1]


def _check_of_backbones(**options: Any) -> None:
    """Check that no option of tables is given beside backbones."""
    defaults = inspect.signature(compare).parameters
    for name, value in options.items():
        if value != defaults[name].default:
            raise InputError(
                f"`{name}` is for tables; with `backbones` a sample of the images is cut into folds.",
                hint=f"Leave `{name}` out, or compare tables made with frieze embed.",
            )


def evaluate(
    head: str | Path, features: str | Path | None = None, *, labels: str | Path | None = None, label: str | None = None
) -> dict[str, Any]:
    """Measure a head on a table of features; images it was fitted on are left out.

    With a table alone: how well its images find those of their own label, by cosine, without a head or an index. Each
    labelled image ranks all others, but for equal files and other parts of its own file or image.

    Args:
        head: The head's folder; or that of a table, without `features`.
        features: The table's folder.
        labels: A file with ids and labels.
        label: The column of the labels, of that file or else of the table; `label` for those stored in the table. By
            default the labels come from the head's column or file.

    Returns:
        The figures of `train`, and the rows they are computed on. Of a table alone `map`, `r_precision` and
        `precision_at_1`, `_5` and `_10`, each with its 95 % interval by the bootstrap over queries (None of
        too few), and `per_class`.

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    import frieze.classifiers

    if features is None:
        table, label_info = open_labelled(head, labels=labels, label=label)
        with terminal.spinner("Ranking"):
            return {"features": str(head)} | frieze.classifiers.evaluate_retrieval(table) | label_info
    table, label_info = open_labelled_as(head, features, labels=labels, label=label)
    is_multilabel = frieze.classifiers.is_multilabel(to_local_path(head))
    evaluates = frieze.classifiers.evaluate_multilabel if is_multilabel else frieze.classifiers.evaluate_head
    return evaluates(to_local_path(head), table) | label_info
