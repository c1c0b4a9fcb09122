"""The embedding job: embed new and changed images into tables of features, in this process or on a Ray cluster.

An interrupted or crashed job resumes: every committed part is kept, and the next run embeds what is missing.
"""

import contextlib
import dataclasses
import importlib.metadata
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from frieze.core import InputError, TablePath
from frieze.embedder.backbones import NETWORK, OPTION, TABLE, Backbone, BackboneRequest, fingerprint_of_files
from frieze.embedder.backbones.open import open_backbone
from frieze.embedder.backbones.open_text_encoder import has_stored_text_encoder
from frieze.embedder.cluster.driver import embed_on_cluster
from frieze.embedder.cluster.worker import WorkerConfig
from frieze.embedder.job.options import JobOptions
from frieze.embedder.job.report import to_document
from frieze.embedder.job.run import Progress, Run, RunStats, plan_run, reasons_to_retry
from frieze.embedder.job.shard_writer import computed_columns
from frieze.embedder.job.shared_run import embed_together
from frieze.embedder.job.stored_request import to_request
from frieze.embedder.sources import Source
from frieze.embedder.sources.open import open_source
from frieze.features import (
    HASH_VERSION,
    HASHES,
    STATISTICS,
    STATISTICS_VERSION,
    Manifest,
    check_same_backbone,
    check_table_dir,
    free_names,
    is_features,
    open_writer,
    read_manifest,
    remove_if_refused,
    replace_table,
    successor_of,
)

_VERSIONS = ("frieze", "keras", "numpy", "pillow", "pyarrow", "tensorflow")


@dataclasses.dataclass(frozen=True)
class TableRequest:
    """A table to update.

    Attributes:
        out: Its folder; made when missing, updated or resumed when it exists.
        request: The backbone.
        options: How.
        load: Loads the backbone of a new table, and may refuse it; by default `open_backbone`.
    """

    out: TablePath
    request: BackboneRequest
    options: JobOptions
    load: Callable[[BackboneRequest], Backbone] | None = None


def embed_source(
    source: Any,
    out: TablePath,
    *,
    request: BackboneRequest,
    options: JobOptions,
    progress: Progress = lambda _done, _total: None,
    load: Callable[[BackboneRequest], Backbone] | None = None,
) -> dict[str, Any]:
    """Update a table of features with the images of a source; resume it if an earlier run was interrupted.

    Args:
        source: What `open_source` takes.
        out: The table's folder; made when missing, updated or resumed when it exists.
        request: The backbone.
        options: How.
        progress: Called before the first image and after each batch with images done and to do; while a large source is
            listed, with the images listed so far and 0.
        load: Loads the backbone of a new table, and may refuse it; by default `open_backbone`.

    Returns:
        The document of `frieze embed --json`.

    Raises:
        InputError: Something the user can fix; the stored rows stay.
    """
    (document,) = embed_tables(source, [TableRequest(out, request, options, load)], progress=progress)
    return document


def embed_tables(
    source: Any, tables: Sequence[TableRequest], *, progress: Progress = lambda _done, _total: None
) -> list[dict[str, Any]]:
    """Update several tables of features in one pass over the images of a source, as `embed_source` does each.

    An image that several tables lack is read, hashed and decoded once. All backbones are loaded at once.

    Args:
        source: What `open_source` takes.
        tables: One or more, which list and limit the images alike; on a Ray cluster one.
        progress: As in `embed_source`.

    Returns:
        The document of each, with the seconds of the whole pass.

    Raises:
        InputError: Something the user can fix; the stored rows of all tables stay.
    """
    started_at = time.perf_counter()
    tables = [dataclasses.replace(one, out=one.out.absolute()) for one in tables]
    opened = list_source(source, tables, progress)
    jobs = [EmbedJob.of(one, opened, started_at, progress) for one in tables]
    with contextlib.ExitStack() as held:
        folders = [held.enter_context(job.open_folder(one.out)) for job, one in zip(jobs, tables, strict=True)]
        documents = _update(jobs, folders, progress)
    return [document | {"out": str(one.out)} for document, one in zip(documents, tables, strict=True)]


def _update(jobs: Sequence["EmbedJob"], folders: Sequence[TablePath], progress: Progress) -> list[dict[str, Any]]:
    """Embed what each table lacks, and complete it."""
    with contextlib.ExitStack() as held:
        held.enter_context(jobs[0].options.limits.hold())
        tables = [held.enter_context(job.plan(folder)) for job, folder in zip(jobs, folders, strict=True)]
        pending = [table for table in tables if table.run.plan.n_pending]
        if len(pending) == 1:
            pending[0].embed()
        elif pending:
            stats = embed_together(
                [table.run for table in pending], [table.load() for table in pending], progress=progress
            )
            for table, one in zip(pending, stats, strict=True):
                table.stats = one
        return [table.complete() for table in tables]


def list_source(source: Any, tables: Sequence[TableRequest], progress: Progress) -> Source:
    """Check the options and the folders of tables, then list their source.

    Raises:
        InputError: An option makes no sense, a folder holds other files, there is no such source, or the tables can't
            share one pass.
    """
    for one in tables:
        one.options.check()
        check_table_dir(one.out)
        if one.options.retry_failures and not is_features(one.out):
            raise InputError(
                f"There is no table {one.out}, so no image of it has failed before.", hint="Leave `retry_failures` out."
            )
    _check_together(tables)
    skip = tuple(folder for one in tables for folder in (one.out, successor_of(one.out)))
    options = dataclasses.replace(
        tables[0].options.source, skip=skip, on_progress=lambda n_listed: progress(n_listed, 0)
    )
    with tables[0].options.limits.hold():  # boxes in shares need the sizes of images
        return open_source(source, options)


def _check_together(tables: Sequence[TableRequest]) -> None:
    """Check that tables can share one pass over the images."""
    first, *others = tables
    if others and first.options.ray is not None:
        raise InputError("On a Ray cluster a run makes one table.", hint="Give one `backbone` and one `out` a run.")
    if others and any(one.options.limits.image_timeout is not None for one in tables):
        raise InputError(
            "A run with `image_timeout` makes one table: its images are decoded in processes of their own.",
            hint="Give one `backbone` and one `out` a run, or leave `image_timeout` out.",
        )
    outs = [one.out for one in tables]
    if len({out.resolve() for out in outs}) < len(outs):
        raise InputError(f"Two tables have the same folder: {', '.join(map(str, outs))}.", hint="Give each its `out`.")
    nested = [(one, two) for one in outs for two in outs if str(two).startswith(f"{one}/")]
    if nested:
        raise InputError(
            f"{nested[0][1]} lies in another table, {nested[0][0]}.", hint="Give each table its own folder."
        )
    for other in others:
        differing = _differing_options(first.options, other.options)
        if differing:
            names = ", ".join(f"`{name}`" for name in differing)
            raise InputError(
                f"{first.out} and {other.out} were made with other options of the images: {names}.",
                hint="Update each table by itself, or give the option for both.",
            )


def _differing_options(one: JobOptions, other: JobOptions) -> list[str]:
    """Return the options of two jobs that decide which images there are, and differ."""
    pairs = ((one.source, other.source), (one.limits, other.limits))
    return [
        field.name
        for ours, theirs in pairs
        for field in dataclasses.fields(ours)
        if getattr(ours, field.name) != getattr(theirs, field.name)
    ]


def _with_reserved(source: Source, columns: Sequence[str]) -> Source:
    """Rename user columns that are named like a table's columns of perceptual hashes or picture statistics."""
    images = source.listing.images
    names = free_names(images.column_names, columns)
    if list(names.values()) == images.column_names:
        return source
    images = images.rename_columns([names[name] for name in images.column_names])
    return dataclasses.replace(source, listing=dataclasses.replace(source.listing, images=images))


@dataclasses.dataclass(frozen=True)
class EmbedJob:
    """A source, its backbone and options; updates a table.

    Attributes:
        started_at: When the job started, on `time.perf_counter`'s clock.
        load: Loads the backbone of a new table, and may refuse it.
    """

    source: Source
    request: BackboneRequest
    options: JobOptions
    started_at: float
    progress: Progress = lambda _done, _total: None
    load: Callable[[BackboneRequest], Backbone] | None = None

    @classmethod
    def of(cls, table: TableRequest, source: Source, started_at: float, progress: Progress) -> Self:
        """Return the job of a table."""
        stored = read_manifest(table.out) if is_features(table.out) and not table.options.force else None
        hashes = HASHES if stored is None or stored.has_perceptual_hashes else ()
        has_statistics = table.options.stats if stored is None else stored.has_statistics
        if stored is not None and table.options.stats and not has_statistics:
            raise InputError(
                f"{table.out} was begun without picture statistics, and they can't be added to it.",
                hint="Leave `stats` out, make another table, or embed all images anew with `force=True`.",
            )
        source = _with_reserved(source, (*hashes, *(STATISTICS if has_statistics else ())))
        return cls(source, table.request, table.options, started_at, progress, table.load)

    @contextlib.contextmanager
    def open_folder(self, out: TablePath) -> Iterator[TablePath]:
        """Yield the folder to write to; with `force` it replaces the table when the block ends without an error."""
        if not is_features(out):
            with remove_if_refused(out):
                yield out
        elif self.options.force:
            with replace_table(out, can_resume=self.can_resume) as fresh:
                yield fresh
        else:
            yield out

    @contextlib.contextmanager
    def plan(self, out: TablePath) -> Iterator["PlannedTable"]:
        """Lock a table and compare it with the source; the backbone is loaded only if it is new."""
        manifest, backbone = self.find_manifest(out)
        retried = reasons_to_retry(out, self.options)
        with open_writer(out, manifest) as writer:
            source = self.source.for_backbones([manifest.spec], max_pixels=self.options.limits.max_pixels)
            run = plan_run(self.started_at, writer, source, self.options, self.progress, retried=retried)
            run.copy()
            yield PlannedTable(self, run, manifest, backbone)

    def can_resume(self, fresh: TablePath) -> bool:
        """Check whether an unfinished table of an earlier run is the one that this run would make."""
        try:
            stored = self._stored_manifest(fresh)
            source = read_manifest(fresh).source
        except InputError:  # it is broken, or was made with other options
            return False
        expected = self.source.listing.source, self.request.decoding, HASH_VERSION, self._statistics
        return stored is not None and expected == (
            source,
            stored.spec.decoding,
            stored.perceptual_hash,
            stored.statistics,
        )

    def find_manifest(self, out: TablePath) -> tuple[Manifest, Backbone | None]:
        """Return the manifest of the run, and the backbone if it had to be loaded for that."""
        manifest = self._stored_manifest(out)
        if manifest is not None:
            return manifest, None
        backbone = (self.load or open_backbone)(self.request)
        return self._new_manifest(backbone), backbone

    def _stored_manifest(self, out: TablePath) -> Manifest | None:
        """Return the table's manifest if it has the requested backbone and no local file changed; else None."""
        if not is_features(out):
            return None
        stored = read_manifest(out)
        is_same = self.request.is_same_as(stored.request)
        if not is_same or fingerprint_of_files(self.request) not in (None, stored.spec.fingerprint):
            return None
        if not has_stored_text_encoder(self.request.text_encoder, stored.spec):
            return None
        listing, request = self.source.listing, to_request(self.request, self.options)
        return dataclasses.replace(stored, source=listing.source, request=request, n_ignored=listing.n_ignored)

    @property
    def _statistics(self) -> str | None:
        return STATISTICS_VERSION if self.options.stats else None

    def _new_manifest(self, backbone: Backbone) -> Manifest:
        return Manifest(
            spec=backbone.spec,
            source=self.source.listing.source,
            request=to_request(self.request, self.options),
            perceptual_hash=HASH_VERSION,
            statistics=self._statistics,
            versions={name: importlib.metadata.version(name) for name in _VERSIONS},
            n_ignored=self.source.listing.n_ignored,
        )

    def describe_pixels(self, backbone: Backbone | None) -> dict[str, str | None]:
        """Return where the range of pixels is known from, and the range of the network's layers if it contradicts."""
        if self.request.has_known_pixels:
            return {"pixels_from": NETWORK, "pixels_stated": None}
        if backbone is None:
            return {"pixels_from": TABLE if self.request.pixels is None else OPTION, "pixels_stated": None}
        known_from = TABLE if backbone.is_pixels_explicit and self.request.pixels is None else backbone.pixels_from
        return {"pixels_from": known_from, "pixels_stated": backbone.contradiction}

    def reopen_backbone(self, manifest: Manifest) -> Backbone:
        """Load the backbone of a table, with the table's range of pixels.

        Raises:
            MismatchError: The backbone is another network now.
        """
        backbone = open_backbone(self.request.resuming(manifest.spec))
        check_same_backbone(backbone.spec, manifest.spec, where="the table", hint="Start again with `force=True`.")
        return backbone


@dataclasses.dataclass
class PlannedTable:
    """A table that is locked for writing, with what it lacks.

    Attributes:
        job: Its job.
        run: What it lacks.
        manifest: Its manifest.
        backbone: The network, once it is loaded.
        stats: What was embedded.
    """

    job: EmbedJob
    run: Run
    manifest: Manifest
    backbone: Backbone | None = None
    stats: RunStats = dataclasses.field(default_factory=RunStats)

    def load(self) -> Backbone:
        """Return the network; load it if need be."""
        self.backbone = self.backbone or self.job.reopen_backbone(self.manifest)
        return self.backbone

    def embed(self) -> None:
        """Embed what the table lacks, in this process or on a Ray cluster."""
        options, writer = self.job.options, self.run.writer
        if options.ray is None:
            self.stats = self.run.embed(self.load())
            return
        request = dataclasses.replace(self.job.request.resuming(self.manifest.spec), text_encoder=None)
        columns = computed_columns(writer.manifest)
        config = WorkerConfig(self.job.source, request, options, writer.path, **columns)
        self.stats = embed_on_cluster(self.run, config)

    def complete(self) -> dict[str, Any]:
        """Remove what the source no longer has, merge small parts, and return the document."""
        self.run.remove()
        if self.run.plan.shards:
            self.run.writer.compact(shard_size=self.job.options.shard_size)
        self.run.writer.update()
        return to_document(self.run, self.stats, self.job.describe_pixels(self.backbone))
