"""`frieze.search(..., exists=True)`: whether pictures are in an index already, by their bytes, then by their pixels."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frieze import terminal
from frieze.api.box_rows import count_boxes
from frieze.api.confirming import NO_HASHES, can_compare, comparison_tools
from frieze.core import TEXT, Floats, ImageError, InputError, Rows, counted
from frieze.search_document import SearchOptions

if TYPE_CHECKING:
    from frieze.embedder import DescribedImages
    from frieze.indexing import Index, StoredCopies

_SAME_BYTES = {"kind": "same bytes", "overlap": 1.0}
_BYTES_ALONE = "Files without equal bytes were not compared on their pixels"
_UNREADABLE = (
    "image that may be a copy could not be read, has changed or has several frames or pages, and was not compared.",
    "images that may be copies could not be read, have changed or have several frames or pages: none was compared.",
)

_GONE = (
    "copy is in the index alone: its image can't be read any more, and it does not count.",
    "copies are in the index alone: their images can't be read any more, and they do not count.",
)


def existing_document(index: "Index", query: Any, options: SearchOptions) -> dict[str, Any]:
    """Find the stored copies of image files.

    Args:
        index: An opened index.
        query: A path of an image file, or a list of them; `FILE#x,y,w,h` is a part of one.
        options: At most how many copies of each, and which images may be copies.

    Returns:
        The document of `search` with `exists` in each query, and `kind` and `overlap` in each hit; also `n_existing`,
        `n_missing`, `failed`, `failures` and `n_unreadable`.

    Raises:
        InputError: A query is no image file, a file is not there, or the filter can't be used.
    """
    paths = _check_paths(query)
    questions = _Questions(index, options, paths)
    questions.compare_bytes()
    if questions.pending:
        questions.compare_pixels()
    if questions.n_gone:
        questions.notes.append(counted(questions.n_gone, *_GONE))
    if 2 * count_boxes(index.row_metadata.ids) > len(index):
        questions.notes.append("The index holds parts of images: a file is compared with each part, not a whole image.")
    queries = [{"query": path} | questions.answers[path] for path in paths]
    failures = questions.failures
    return {
        "index": str(index.path),
        **options._asdict(),
        "queries": queries,
        "n_existing": sum(one["exists"] is True for one in queries),
        "n_missing": sum(one["exists"] is False for one in queries),
        "failed": len(failures),
        "failures": [{"query": path, "stage": one.stage, "reason": one.reason} for path, one in failures.items()],
        "n_unreadable": questions.n_unreadable,
        "renamed": index.renamed,
        "zero_queries": [],
        "n_zero": index.n_zero,
        "notes": questions.notes,
        "stale": index.staleness(),
    }


def _check_paths(query: Any) -> list[str]:
    """Return the paths that are asked for.

    Raises:
        InputError: There is none, one is no path, or there is no such file.
    """
    import frieze.embedder

    paths = [query] if isinstance(query, str | Path) or not isinstance(query, Sequence) else list(query)
    hint = "With `exists=True` each query is the path of an image file."
    if not paths:
        raise InputError("There is no query.", hint=hint)
    for path in paths:
        if not isinstance(path, str | Path) or str(path).startswith(("id:", TEXT)) or str(path).endswith(".npy"):
            shown = path if isinstance(path, str | Path) else type(path).__name__
            raise InputError(f"{shown} is no image file.", hint=hint)
        if Path(path).is_dir():
            raise InputError(f"{path} is a folder.", hint=f"Name its image files: {path}/*.jpg")
        if not (Path(path).is_file() or frieze.embedder.split_part(str(path))):
            raise InputError(f"There is no file {path}.", hint=f"Check the path: ls {path}")
    return [str(path) for path in paths]


_NOT_COMPARED = ImageError("decode", "not compared", "it has several frames or pages, or changes while it is read")


class _Questions:
    """Image files, and what is known of each by now.

    Args:
        index: Where they are looked for.
        options: At most how many copies of each, and which images may be copies.
        paths: The files.

    Attributes:
        answers: Path -> `exists` and the hits.
        failures: Path -> why it can't be used.
        pending: Path -> sha256, of those without an answer.
        n_unreadable: Images that may be copies and were not compared.
        n_gone: Copies whose stored image can't be read any more; they do not count.
        notes: Sentences on what was not compared.
    """

    def __init__(self, index: "Index", options: SearchOptions, paths: Sequence[str]) -> None:
        import frieze.embedder

        self._index, self._options = index, options
        self._uris: dict[str, str] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.failures: dict[str, ImageError] = {}
        self.pending: dict[str, str] = {}
        self.n_unreadable = 0
        self.n_gone = 0
        self.notes: list[str] = []
        for path in dict.fromkeys(paths):
            try:
                self._uris[path], data = frieze.embedder.read_file(path)
            except ImageError as error:
                self._fail(path, error)
            else:
                self.pending[path] = hashlib.sha256(data).hexdigest()

    def compare_bytes(self) -> None:
        """Answer for the files that are stored byte by byte."""
        from frieze.indexing import find_equal_files, self_scores

        pending = dict(self.pending)
        equal = find_equal_files(self._index, list(pending.values()), self._options.where)
        for path, rows in zip(pending, equal, strict=True):
            if len(rows):
                self._answer(path, rows, self_scores(self._index, rows), [_SAME_BYTES] * len(rows))

    def compare_pixels(self) -> None:
        """Answer for the others: embed them, and compare them with what is near."""
        from frieze.indexing import scores_of

        if (reason := self._why_not()) is not None:
            self.notes.append(f"{_BYTES_ALONE}: {reason}.")
            for path in list(self.pending):
                self._answer(path, np.empty(0, np.int64), np.empty(0, np.float32), [])
            return
        described, pending = self._describe(), list(self.pending)
        for number, error in described.failures.items():
            self._fail(pending[number], error)
        paths = [pending[number] for number in described.numbers.tolist()]
        copies = self._find_copies(paths, described)
        for number, (path, embedding, matches) in enumerate(
            zip(paths, described.embeddings, copies.matches, strict=True), start=len(self._index)
        ):
            if number in copies.unreadable and not matches:
                self._fail(path, _NOT_COMPARED)
                continue
            rows = np.array(sorted(matches), np.int64)
            scores = scores_of(self._index, embedding, rows)
            order = np.argsort(-scores, kind="stable")
            kinds = [{"kind": matches[row].kind(), "overlap": matches[row].shares[0]} for row in rows[order].tolist()]
            self._answer(path, rows[order], scores[order], kinds)
        self.n_unreadable = len(copies.unreadable)
        self.notes += _notes(copies)

    def _why_not(self) -> str | None:
        """Return why pixels can't be compared; None where they can."""
        if self._index.spec.is_made_elsewhere:
            return f"the vectors were made elsewhere, imported from {self._index.spec.handle}"
        return None if can_compare() else "pip install 'frieze[duplicates]'"

    def _describe(self) -> "DescribedImages":
        import frieze.embedder

        with terminal.spinner("Loading the backbone"):
            backbone = frieze.embedder.reopen_backbone(self._index.spec, where=str(self._index.path))
        with terminal.spinner("Embedding"):
            return frieze.embedder.describe_images(list(self.pending), backbone)

    def _find_copies(self, paths: Sequence[str], described: "DescribedImages") -> "StoredCopies":
        from frieze.indexing import NewImages, find_stored_copies

        images = NewImages(
            [self._uris[path] for path in paths],
            [self.pending[path] for path in paths],
            described.embeddings,
            described.hashes,
            described.n_pixels,
        )
        with terminal.spinner("Comparing"), comparison_tools(self._index.spec.decoding) as (read, decisions, processes):
            return find_stored_copies(
                self._index,
                images,
                read=read,
                where=self._options.where,
                decisions=decisions,
                processes=processes,
            )

    def _fail(self, path: str, error: ImageError) -> None:
        self.failures[path] = error
        self.pending.pop(path, None)
        self.answers[path] = {"exists": None, "hits": []}

    def _answer(self, path: str, rows: Rows, scores: Floats, kinds: Sequence[dict[str, Any]]) -> None:
        """Answer with some rows, the best first, and how each differs from the file."""
        k = self._options.k
        hits = [hit | kind for hit, kind in zip(self._index.hits(rows[:k], scores[:k]), kinds[:k], strict=True)]
        left = [hit for hit in hits if _can_be_read(hit["uri"])]
        self.n_gone += len(hits) - len(left)
        self.pending.pop(path)
        self.answers[path] = {"exists": bool(left), "hits": left}


def _can_be_read(uri: str | None) -> bool:
    """Return whether a stored image is still there; one of a bucket or of the web is not asked for."""
    import frieze.embedder

    if uri is None or "://" in uri:
        return True
    with contextlib.suppress(ImageError):
        return bool(frieze.embedder.read_image(uri))
    return False


def _notes(copies: "StoredCopies") -> Iterator[str]:
    if not copies.has_hashes:
        yield NO_HASHES
    if copies.unreadable:
        yield counted(len(copies.unreadable), *_UNREADABLE)
