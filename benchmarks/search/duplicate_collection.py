"""The images of search/duplicate_edits.py: photographs with their edits beside untouched ones, and made look-alikes.

150 photographs, half of imagenette_val (224 x 224) and half of flowers_ccby_200 (natural size), each with the eleven
edits of search/edits.py; and 2,000 untouched files of four other sets. All are drawn by one seed. Copies that would
stand among the untouched are left out as far as they are known: equal files, photographs of flowers5_128 whose number
on Flickr is one of flowers_ccby_200's, and the parts of distill_pool that were taken from Imagenette and from the
wallpapers that large_photos is a part of. As thumbnails of 32 x 32 no two that are left correlate above .95, mirrored
or not; copies of other kinds may be among them, so wrong pairs of untouched files are listed.
"""

import dataclasses
import hashlib
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks import DATA
from benchmarks.search.edits import EDITS
from benchmarks.search.made_images import LOOK_ALIKES
from frieze.core import Rows

SEED, N_PHOTOGRAPHS, N_MADE = 24, 150, 12
IMAGES = DATA / "images"
EDITED_SETS = ("imagenette_val", "flowers_ccby_200")
LEFT_OUT = ("imagenette-", "gruvbox-")
"""Beginnings of distill_pool's names of photographs that other sets hold too."""
Matrix = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Collection:
    """A folder of images of which the copies are known.

    Attributes:
        folder: Holds the files.
        names: Name of each file, ascending [N].
        photographs: int64 [N]: the number of the photograph that each shows; -1 for an untouched file.
        edits: Of each file a key of EDITS, `original`, or "" [N].
    """

    folder: Path
    names: list[str]
    photographs: Rows
    edits: list[str]

    def truth(self) -> Matrix:
        """Return which pairs are copies, [N, N]: they show one photograph. None with itself."""
        are_same: Matrix = (self.photographs[:, None] == self.photographs) & (self.photographs >= 0)
        np.fill_diagonal(are_same, val=False)
        return are_same

    def rows_of(self, edit: str) -> Rows:
        """Return the rows of one edit, or of the originals, by number of photograph."""
        rows = np.flatnonzero(np.array(self.edits) == edit)
        ordered: Rows = rows[np.argsort(self.photographs[rows])]
        return ordered


def write_collection(folder: Path) -> Collection:
    """Write the photographs, their edits and the untouched files into a new folder."""
    folder.mkdir()
    rng = np.random.default_rng(SEED)
    rows = [*_write_edited(folder, rng), *((name, -1, "") for name in _write_untouched(folder, rng))]
    names, photographs, edits = zip(*sorted(rows), strict=True)
    return Collection(folder, list(names), np.array(photographs, np.int64), list(edits))


def write_look_alikes(folder: Path) -> Path:
    """Write twelve pictures of each kind of made look-alikes into a new folder, `KIND/NUMBER.png`."""
    for kind, draw in LOOK_ALIKES.items():
        (folder / kind).mkdir(parents=True)
        for number in range(N_MADE):
            draw(number).save(folder / kind / f"{number:02d}.png")
    return folder


def _write_edited(folder: Path, rng: np.random.Generator) -> Iterator[tuple[str, int, str]]:
    """Write each drawn photograph and its edits; yield name, number and edit of each file."""
    each = N_PHOTOGRAPHS // len(EDITED_SETS)
    drawn = [path for name in EDITED_SETS for path in _draw(sorted((IMAGES / name).rglob("*.jpg")), each, rng)]
    for number, path in enumerate(drawn):
        original = folder / f"photograph-{number:03d}-original.jpg"
        original.write_bytes(path.read_bytes())
        yield original.name, number, "original"
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        for edit in EDITS:
            stem = folder / f"photograph-{number:03d}-{edit.replace(' %', '').replace(' ', '-')}"
            yield EDITS[edit].write(image, rng, stem).name, number, edit


def _write_untouched(folder: Path, rng: np.random.Generator) -> Iterator[str]:
    """Write the untouched files, each with bytes of its own; yield their names."""
    seen: set[str] = set()
    for images, (n_images, read) in UNTOUCHED.items():
        n_written = 0
        for name, data in read(IMAGES / images, rng):
            digest = hashlib.sha256(data).hexdigest()
            if n_written == n_images or digest in seen:
                continue
            seen.add(digest)
            n_written += 1
            (folder / f"untouched-{images}-{name}").write_bytes(data)
            yield f"untouched-{images}-{name}"


def _draw(paths: list[Path], n_paths: int, rng: np.random.Generator) -> list[Path]:
    return [paths[at] for at in rng.permutation(len(paths))[:n_paths]]


def _read_files(folder: Path, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of a folder's photographs in random order, without those that other sets hold too."""
    others = {_flickr_number(path) for path in (IMAGES / EDITED_SETS[1]).rglob("*.jpg")}
    for path in _draw(sorted(folder.rglob("*.jpg")), 3_000, rng):
        if not path.name.startswith(LEFT_OUT) and _flickr_number(path) not in others:
            yield "-".join(path.relative_to(folder).parts), path.read_bytes()


def _read_shards(folder: Path, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of a shard's photographs in random order."""
    with tarfile.open(_draw(sorted(folder.glob("*.tar")), 1, rng)[0]) as shard:
        members = [member for member in shard.getmembers() if member.name.endswith(".jpg")]
        for at in rng.permutation(len(members)):
            yield Path(members[at].name).name, shard.extractfile(members[at]).read()


def _flickr_number(path: Path) -> str:
    return path.stem.partition("_")[0]


UNTOUCHED: dict[str, tuple[int, Callable[[Path, np.random.Generator], Iterator[tuple[str, bytes]]]]] = {
    "flowers5_128": (700, _read_files),
    "distill_pool": (981, _read_files),
    "cifar10_test_webdataset": (300, _read_shards),
    "large_photos": (19, _read_files),
}
"""Set -> number of files drawn of it, and how they are read."""
