"""The embedding job: embed new and changed images into a table of features, in this process or on a Ray cluster.

An interrupted or crashed job resumes: every committed part is kept, and the next run embeds what is missing.
"""

import dataclasses
import importlib.metadata
import time
from collections.abc import Callable
from typing import Any

from frieze.core import InputError, TablePath
from frieze.embedder.backbones import NETWORK, OPTION, TABLE, Backbone, BackboneRequest, fingerprint_of_files
from frieze.embedder.backbones.open import open_backbone
from frieze.embedder.backbones.open_text_encoder import has_stored_text_encoder
from frieze.embedder.cluster.driver import embed_on_cluster
from frieze.embedder.cluster.worker import WorkerConfig
from frieze.embedder.job.options import JobOptions
from frieze.embedder.job.report import to_document
from frieze.embedder.job.run import Progress, RunStats, plan_run, reasons_to_retry
from frieze.embedder.job.stored_request import to_request
from frieze.embedder.sources import Source
from frieze.embedder.sources.open import open_source
from frieze.features import (
    HASH_VERSION,
    HASHES,
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
    started_at = time.perf_counter()
    out = out.absolute()
    job = EmbedJob(list_source(source, out, options, progress), request, options, started_at, progress, load)
    if not is_features(out):
        with remove_if_refused(out):
            return job.update(out)
    if not options.force:
        return job.update(out)
    with replace_table(out, can_resume=job.can_resume) as fresh:
        document = job.update(fresh)
    return document | {"out": str(out)}


def list_source(source: Any, out: TablePath, options: JobOptions, progress: Progress) -> Source:
    """Check the options and the table's folder, then list the source.

    Raises:
        InputError: An option makes no sense, the folder holds other files, or there is no such source.
    """
    options.check()
    check_table_dir(out)
    if options.retry_failures and not is_features(out):
        raise InputError(
            f"There is no table {out}, so no image of it has failed before.", hint="Leave `retry_failures` out."
        )
    skip = (out, successor_of(out))
    opened = open_source(
        source, dataclasses.replace(options.source, skip=skip, on_progress=lambda n_listed: progress(n_listed, 0))
    )
    is_update = is_features(out) and not options.force
    return opened if is_update and not read_manifest(out).has_perceptual_hashes else _with_hashes_reserved(opened)


def _with_hashes_reserved(source: Source) -> Source:
    """Rename user columns that are named like a table's columns of perceptual hashes."""
    images = source.listing.images
    names = free_names(images.column_names, HASHES)
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

    def update(self, out: TablePath) -> dict[str, Any]:
        """Embed the images that a table lacks; the backbone is loaded only if there are any."""
        manifest, backbone = self.find_manifest(out)
        retried = reasons_to_retry(out, self.options)
        with self.options.limits.hold(), open_writer(out, manifest) as writer:
            run = plan_run(self.started_at, writer, self.source, self.options, self.progress, retried=retried)
            run.copy()
            stats = RunStats()
            if run.plan.n_pending and self.options.ray is not None:
                request = dataclasses.replace(self.request.resuming(manifest.spec), text_encoder=None)
                has_hashes = writer.manifest.has_perceptual_hashes
                config = WorkerConfig(self.source, request, self.options, out, has_perceptual_hashes=has_hashes)
                stats = embed_on_cluster(run, config)
            elif run.plan.n_pending:
                backbone = backbone or self.reopen_backbone(manifest)
                stats = run.embed(backbone)
            run.remove()
            if run.plan.shards:
                writer.compact(shard_size=self.options.shard_size)
            writer.update()
            return to_document(run, stats, self._pixels(backbone))

    def can_resume(self, fresh: TablePath) -> bool:
        """Check whether an unfinished table of an earlier run is the one that this run would make."""
        try:
            stored = self._stored_manifest(fresh)
            source = read_manifest(fresh).source
        except InputError:  # it is broken, or was made with other options
            return False
        expected = self.source.listing.source, self.request.decoding, HASH_VERSION
        return stored is not None and (source, stored.spec.decoding, stored.perceptual_hash) == expected

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

    def _new_manifest(self, backbone: Backbone) -> Manifest:
        return Manifest(
            spec=backbone.spec,
            source=self.source.listing.source,
            request=to_request(self.request, self.options),
            perceptual_hash=HASH_VERSION,
            versions={name: importlib.metadata.version(name) for name in _VERSIONS},
            n_ignored=self.source.listing.n_ignored,
        )

    def _pixels(self, backbone: Backbone | None) -> dict[str, str | None]:
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
