"""Failures of earlier runs that may not hold any more, though their images have not changed."""

import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import TablePath
from frieze.embedder.images.decode import LIMITED, Limits
from frieze.embedder.images.unsupported_formats import are_readable_now
from frieze.embedder.job.options import JobOptions
from frieze.features import is_features, read_manifest


def reasons_to_retry(out: TablePath, options: JobOptions) -> tuple[str, ...]:
    """Name the reasons of a table's failures that may not hold for a run: where its limits are others."""
    is_as_before = not is_features(out) or Limits.of(read_manifest(out).request) == options.limits
    return () if is_as_before else LIMITED


def may_pass(failed: pa.Table, reasons: tuple[str, ...]) -> pa.ChunkedArray:
    """Mark the failures to try again: those for some reasons, and those of formats that are read by now.

    Args:
        failed: A table of `FAILURES`.
        reasons: From `reasons_to_retry`.
    """
    return pc.or_(pc.is_in(failed["reason"], pa.array(reasons, pa.string())), are_readable_now(failed["message"]))
