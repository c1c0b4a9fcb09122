"""The embedding job: what is missing, shard after shard, into a table of features."""

import dataclasses
import importlib.metadata
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from frieze.core import InputError, TablePath
from frieze.embedder.backbones import NETWORK, OPTION, TABLE, Backbone, BackboneRequest, fingerprint_of_files
from frieze.embedder.backbones.open import open_backbone
from frieze.embedder.cluster.driver import embed_on_cluster
from frieze.embedder.cluster.worker import Work
from frieze.embedder.job.options import JobOptions
from frieze.embedder.job.retried_failures import reasons_to_retry
from frieze.embedder.job.run import Progress, make_run
from frieze.embedder.job.stored_request import to_request
from frieze.embedder.sources import Source
from frieze.embedder.sources.open import open_source
from frieze.features import (
    Manifest,
    check_same_backbone,
    check_table_dir,
    is_features,
    open_writer,
    read_manifest,
    replace_table,
    successor_of,
)

_VERSIONS = ("frieze", "keras", "numpy", "pillow", "pyarrow", "tensorflow")


def embed_source(
    source: Any,
    out: TablePath,
    *,
    request: BackboneRequest,
    options: JobOptions,
    progress: Progress = lambda _done, _total: None,
    load: Callable[[BackboneRequest], Backbone] | None = None,
) -> dict[str, Any]:
    """Bring a table of features up to date with a source.

    Args:
        source: What `open_source` takes.
        out: The table's folder; made when missing, gone on with when there.
        request: The backbone.
        options: How.
        progress: Told before the first image and after each batch; while a large source is listed, how many images are
            found, with 0 to do.
        load: Loads the backbone of a new table, and may refuse it; `open_backbone` by default.

    Returns:
        The document of `frieze embed --json`.

    Raises:
        InputError: Something the user can mend; what is stored stays.
    """
    began = time.perf_counter()
    out = out.absolute()
    task = Task(open_job(source, out, options, progress), request, options, began, progress, load)
    if not (options.force and is_features(out)):
        return task.bring_up_to_date(out)
    with replace_table(out, can_resume=task.can_resume) as fresh:
        document = task.bring_up_to_date(fresh)
    return document | {"out": str(out)}


def open_job(source: Any, out: TablePath, options: JobOptions, progress: Progress) -> Source:
    """Refuse what makes no sense, then list the source; progress is told how far that is, with nothing to do.

    Raises:
        InputError: An option makes no sense, the folder is not ours, or there is no such source.
    """
    options.check()
    check_table_dir(out)
    if options.retry_failures and not is_features(out):
        raise InputError(
            f"There is no table {out}, so no image of it has failed before.", hint="Leave --retry-failures out."
        )
    skip = (out, successor_of(out))
    return open_source(
        source, dataclasses.replace(options.source, skip=skip, on_progress=lambda n_found: progress(n_found, 0))
    )


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be embedded, by what and how.

    Attributes:
        began: When the job began, on `time.perf_counter`'s clock.
        load: Loads the backbone of a new table, and may refuse it.
    """

    source: Source
    request: BackboneRequest
    options: JobOptions
    began: float
    progress: Progress = lambda _done, _total: None
    load: Callable[[BackboneRequest], Backbone] | None = None

    def bring_up_to_date(self, out: TablePath) -> dict[str, Any]:
        """Embed what a table lacks; the backbone is loaded only where something is to be embedded."""
        manifest, backbone = self.brings(out)
        retried = reasons_to_retry(out, self.options)
        with self.options.limits.hold(), open_writer(out, manifest) as writer:
            run = make_run(self.began, writer, self.source, self.options, self.progress, retried=retried)
            run.copy()
            if run.plan.n_pending and self.options.ray is not None:
                request = self.request.with_pixels(manifest.spec.pixels)
                embed_on_cluster(run, Work(self.source, request, self.options, out))
            elif run.plan.n_pending:
                backbone = backbone or self.reopened(manifest)
                run.embed(backbone)
            run.pixels = self._pixels(backbone)
            run.remove()
            if run.plan.shards:
                writer.compact(shard_size=self.options.shard_size)
            writer.update()
            return run.document()

    def can_resume(self, fresh: Path) -> bool:
        """Tell whether a table that an earlier run began is the one that this run would make."""
        try:
            stored = self._stored_manifest(fresh)
            source = read_manifest(fresh).source
        except InputError:  # it is broken, or was asked for otherwise
            return False
        wanted = self.source.listing.source, self.request.decoding
        return stored is not None and (source, stored.spec.decoding) == wanted

    def brings(self, out: TablePath) -> tuple[Manifest, Backbone | None]:
        """Tell what the run brings to a table, and the backbone where it had to be loaded to tell."""
        manifest = self._stored_manifest(out)
        if manifest is not None:
            return manifest, None
        backbone = (self.load or open_backbone)(self.request)
        return self._new_manifest(backbone), backbone

    def _stored_manifest(self, out: TablePath) -> Manifest | None:
        """Take the table's own word on its backbone, where the same was asked for and no local file has changed."""
        if not is_features(out):
            return None
        stored = read_manifest(out)
        is_same_request = self.request.is_same_as(stored.request)
        if not is_same_request or fingerprint_of_files(self.request) not in (None, stored.spec.fingerprint):
            return None
        listing, asked = self.source.listing, to_request(self.request, self.options)
        return dataclasses.replace(stored, source=listing.source, request=asked, n_ignored=listing.n_ignored)

    def _new_manifest(self, backbone: Backbone) -> Manifest:
        return Manifest(
            spec=backbone.spec,
            source=self.source.listing.source,
            request=to_request(self.request, self.options),
            versions={name: importlib.metadata.version(name) for name in _VERSIONS},
            n_ignored=self.source.listing.n_ignored,
        )

    def _pixels(self, backbone: Backbone | None) -> dict[str, str | None]:
        """Tell how the range of pixels is known, and what the network's layers say where that is another one."""
        if self.request.has_known_pixels:
            return {"pixels_from": NETWORK, "pixels_stated": None}
        if backbone is None:
            return {"pixels_from": TABLE if self.request.pixels is None else OPTION, "pixels_stated": None}
        known_from = TABLE if backbone.is_pixels_explicit and self.request.pixels is None else backbone.pixels_from
        return {"pixels_from": known_from, "pixels_stated": backbone.contradiction}

    def reopened(self, manifest: Manifest) -> Backbone:
        """Load the backbone of a table, with the range of pixels that the table was made with.

        Raises:
            MismatchError: Another network stands in its place now.
        """
        backbone = open_backbone(self.request.with_pixels(manifest.spec.pixels))
        check_same_backbone(backbone.spec, manifest.spec, where="the table", hint="Begin again with --force.")
        return backbone
