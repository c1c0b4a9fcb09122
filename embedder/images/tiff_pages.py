"""TIFF pages: finds the page that is the picture, and rejects camera raw files without a developed one."""

import io
import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from PIL import Image

from frieze.core import ImageError
from frieze.embedder.images.packed_samples import as_bytes, is_packed, unpack_file

SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+", b"MM*\x00", b"II\x00*")
"""Classic TIFF, BigTIFF, and two with the wrong byte order."""

NEW_SUBFILE_TYPE, SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
ORIENTATION, STRIP_OFFSETS, STRIP_BYTES, SUB_IFDS, JPEG_OFFSET, JPEG_BYTES = 274, 273, 279, 330, 513, 514
JPEG_TABLES, EXIF, EXIF_WIDTH, EXIF_HEIGHT = 347, 34665, 40962, 40963
MIN_SAMPLE, MAX_SAMPLE, SAMPLE_FORMAT, S_MIN_SAMPLE, S_MAX_SAMPLE, DNG_VERSION = 280, 281, 339, 340, 341, 50706
"""Tags (TIFF 6.0, TIFF/EP, DNG 1.7, Exif)."""

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OLD_REDUCED = 2  # of SubfileType
_SENSOR = (32803, 34892)  # photometric: a colour filter's mosaic, or linear values in the camera's own colours
_SENSOR_COMPRESSIONS = (32767, 32769, 34713, 65000, 65535)  # Sony, Epson, Nikon, Kodak, Pentax
_BLACK_IS_ZERO, _SHALLOW = 1, 8  # a value of Photometric; bits a sample up to which Pillow inverts
_JPEG = b"\xff\xd8\xff"
_JPEG_COMPRESSIONS = (6, 7)
_CANON = b"CR"  # at byte 8 of a CR2
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MOST_VALUES, _MOST_PAGES = 64, 256
_FULL_SIZE_SHARE = 0.9  # of the sensor's width and height: the camera's full-size JPEG


class Page(NamedTuple):
    """One directory (IFD) of the file.

    Attributes:
        offset: Offset of the directory.
        tags: Tag -> its first integers.
        value_offsets: Tag -> offset and type of its value.
    """

    offset: int
    tags: dict[int, tuple[int, ...]]
    value_offsets: dict[int, tuple[int, str]]

    def first(self, tag: int, default: int = 0) -> int:
        """Return a tag's first value."""
        return self.tags.get(tag, (default,))[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as stored."""
        return self.first(WIDTH), self.first(HEIGHT)

    @property
    def is_reduced(self) -> bool:
        """Whether it is a smaller version of another page."""
        return bool(self.first(NEW_SUBFILE_TYPE) & _REDUCED) or self.first(SUBFILE_TYPE) == _OLD_REDUCED

    @property
    def is_mask(self) -> bool:
        """Whether it is the transparency mask of another page."""
        return bool(self.first(NEW_SUBFILE_TYPE) & _MASK)

    @property
    def is_sensor(self) -> bool:
        """Whether it holds raw sensor data."""
        return self.first(PHOTOMETRIC) in _SENSOR or self.first(COMPRESSION) in _SENSOR_COMPRESSIONS


class Picture(NamedTuple):
    """The page that is the picture, as a file of its own.

    Attributes:
        data: Its bytes; unchanged if the first page is the picture.
        orientation: EXIF orientation of the first page, for a picture without one; None for a picture with its own.
        is_inverted: Whether zero is white, which `data` no longer states; only for more than 8 bits a sample.
    """

    data: bytes
    orientation: int | None = None
    is_inverted: bool = False


class _Reader:
    """Reads directories; missing data reads as no tags and no next page."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.is_big = 43 in data[2:4]  # noqa: PLR2004  BigTIFF's version
        self.first_at, self.offset = (8, "Q") if self.is_big else (4, "I")
        self._head, self._entry = ("Q", "HHQ8s") if self.is_big else ("H", "HHI4s")

    def read(self, letters: str, at: int) -> tuple[Any, ...]:
        return struct.unpack_from(self.order + letters, self.data, at)

    def page(self, offset: int) -> tuple[Page, int]:
        """Return the page at an offset, and the offset of the next one, 0 for none."""
        (n_entries,) = self.read(self._head, offset)
        at, size = offset + struct.calcsize(self.order + self._head), struct.calcsize(self.order + self._entry)
        end = at + min(n_entries, (len(self.data) - at) // size) * size
        tags, value_offsets = {}, {}
        for start in range(at, end, size):
            tag, kind, count, value = self.read(self._entry, start)
            if kind in _INTEGERS and count:
                tags[tag] = self._values(f"{min(count, _MOST_VALUES)}{_INTEGERS[kind]}", value)
                value_offsets[tag] = start + size - len(value), _INTEGERS[kind]
        page = Page(offset, {tag: values for tag, values in tags.items() if values}, value_offsets)
        return page, self._next(end)

    def _values(self, letters: str, value: bytes) -> tuple[int, ...]:
        size = struct.calcsize(self.order + letters)
        if size <= len(value):
            return struct.unpack(self.order + letters, value[:size])
        (at,) = struct.unpack(self.order + self.offset, value)
        return self.read(letters, at) if at + size <= len(self.data) else ()

    def _next(self, at: int) -> int:
        is_complete = at + struct.calcsize(self.offset) <= len(self.data)
        return self.read(self.offset, at)[0] if is_complete else 0

    def first_page(self) -> Page:
        return self.page(self.read(self.offset, self.first_at)[0])[0]

    def pages(self) -> Iterator[Page]:
        """Yield all pages and sub-pages once."""
        pending, visited = [self.read(self.offset, self.first_at)[0]], set[int]()
        while pending and len(visited) < _MOST_PAGES:
            offset = pending.pop(0)
            if not offset or offset in visited or offset >= len(self.data):
                continue
            visited.add(offset)
            try:
                page, following = self.page(offset)
            except struct.error:
                continue
            yield page
            pending += [following, *page.tags.get(SUB_IFDS, ())]

    def picture(self, page: Page, first: Page) -> Picture:
        """Return the file with another page as its first."""
        data = self._with(self.first_at, self.offset, page.offset)
        return Picture(data, None if ORIENTATION in page.tags else first.first(ORIENTATION, 1))

    def with_tags(self, page: Page, values: Mapping[int, int]) -> bytes:
        """Return the file with changed numbers in a page's tags."""
        changed = bytearray(self.data)
        for tag, value in values.items():
            at, letter = page.value_offsets[tag]
            struct.pack_into(self.order + letter, changed, at, value)
        return bytes(changed)

    def _with(self, at: int, letters: str, value: int) -> bytes:
        written = struct.pack(self.order + letters, value)
        return b"".join((self.data[:at], written, self.data[at + len(written) :]))


def read_first_page(data: bytes) -> Page | None:
    """Return the first page of a TIFF; None if it can't be read."""
    try:
        return _Reader(data).first_page()
    except (struct.error, OverflowError):
        return None


def find_picture(data: bytes, *, max_pixels: int) -> Picture:
    """Find the picture in a TIFF file: the first page, unless it is a reduced version or a mask of another.

    In a camera's raw file the picture is the developed page or JPEG of the sensor's size; a smaller one is a preview
    and never used.

    Args:
        data: The bytes of the file, which begin with one of `SIGNATURES`.
        max_pixels: Most pixels that are unpacked, for samples of an unusual number of bits.

    Raises:
        ImageError: The file is a camera's raw file without such a page, or its packed samples can't be unpacked.
    """
    first = read_first_page(data)
    if first is None:
        return Picture(data)
    picture = _find(data, first) if _may_be_elsewhere(first, data) else Picture(data)
    page = first if picture.data is data else read_first_page(picture.data)
    if page is not None and is_packed(page.tags):
        unpacked = unpack_file(
            _Reader(picture.data).with_tags(page, as_bytes(page.tags, max_pixels=max_pixels)), page.tags
        )
        return picture._replace(data=unpacked, is_inverted=page.first(PHOTOMETRIC) != _BLACK_IS_ZERO)
    if page is None or page.first(BITS) <= _SHALLOW or page.first(PHOTOMETRIC, _BLACK_IS_ZERO):
        return picture
    return picture._replace(data=_Reader(picture.data).with_tags(page, {PHOTOMETRIC: _BLACK_IS_ZERO}), is_inverted=True)


def has_several(data: bytes) -> bool:
    """Return whether a TIFF file holds several pictures; reduced versions, masks and raw data do not count."""
    reader = _Reader(data)
    try:
        offset, visited, n_pictures = reader.read(reader.offset, reader.first_at)[0], set[int](), 0
        while offset and offset not in visited and len(visited) < _MOST_PAGES and n_pictures <= 1:
            visited.add(offset)
            page, offset = reader.page(offset)
            if page.is_sensor or DNG_VERSION in page.tags:
                return False
            n_pictures += bool(_area(page.size)) and not (page.is_reduced or page.is_mask)
    except (struct.error, OverflowError):
        return False
    return n_pictures > 1 and not _is_canon(data)


def _find(data: bytes, first: Page) -> Picture:
    reader = _Reader(data)
    pages = list(reader.pages())
    sensor = _sensor_size(reader, pages)
    if sensor != (0, 0):
        return _developed(reader, pages, sensor)
    if not (first.is_reduced or first.is_mask):
        return Picture(data)
    return reader.picture(_full(pages) or first, first)


class RawFileError(ImageError):
    """A file is a camera's RAW file without a picture of the sensor's size."""


def raw_error(name: str, holds: str = "") -> RawFileError:
    """Return the failure of a camera's RAW file where LibRaw is not installed.

    Args:
        name: The format.
        holds: Description of its content.
    """
    message = f"a camera's RAW file ({name}){holds}; to read it: pip install 'frieze[formats]'"
    return RawFileError("decode", "unsupported", message)


def _may_be_elsewhere(first: Page, data: bytes) -> bool:
    signs = first.is_reduced, first.is_mask, first.is_sensor, SUB_IFDS in first.tags, DNG_VERSION in first.tags
    return any(signs) or _is_canon(data)


def _is_canon(data: bytes) -> bool:
    return data[8:10] == _CANON and data[:4] == SIGNATURES[0]


def _maker_format(data: bytes, first: Page) -> str:
    if DNG_VERSION in first.tags:
        return "DNG"
    return "CR2" if _is_canon(data) else "TIFF/EP, as NEF, ARW and PEF are"


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _sensor_size(reader: _Reader, pages: list[Page]) -> tuple[int, int]:
    """Return the size of the sensor data; 0 x 0 if the file is no camera's raw file."""
    sizes = [page.size for page in pages if page.is_sensor]
    if not sizes and _is_canon(reader.data):  # its sensor page states no size
        exif = reader.page(pages[0].first(EXIF))[0]
        sizes = [(exif.first(EXIF_WIDTH), exif.first(EXIF_HEIGHT))]
    return max(sizes, default=(0, 0), key=_area)


def _full(pages: list[Page]) -> Page | None:
    """Return the largest page that is no reduced version or mask."""
    full = [page for page in pages if not (page.is_reduced or page.is_mask)]
    return max(full, key=lambda page: _area(page.size), default=None)


def _developed(reader: _Reader, pages: list[Page], sensor: tuple[int, int]) -> Picture:
    """Return the developed picture of the sensor's size."""
    developed = [page for page in pages if not (page.is_mask or page.is_sensor)]
    sizes = [_shown_size(reader.data, page) for page in developed]
    best = max(range(len(developed)), key=lambda number: _area(sizes[number]), default=None)
    width, height = (0, 0) if best is None else sizes[best]
    if best is None or width < _FULL_SIZE_SHARE * sensor[0] or height < _FULL_SIZE_SHARE * sensor[1]:
        preview = f" with only a preview of {width} x {height}" if width * height else " and no developed picture"
        holds = f" of {sensor[0]} x {sensor[1]} pixels{preview}"
        raise raw_error(_maker_format(reader.data, pages[0]), holds)
    jpeg = _jpeg_of(reader.data, developed[best])
    if jpeg is not None:
        return Picture(jpeg, pages[0].first(ORIENTATION, 1))
    return reader.picture(developed[best], pages[0])


def _shown_size(data: bytes, page: Page) -> tuple[int, int]:
    """Return width and height of a page; those of the JPEG if it is one, because its tags often have none."""
    jpeg = _jpeg_of(data, page)
    if jpeg is None:
        return page.size
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
            return image.size
    except OSError:
        return 0, 0


def _jpeg_of(data: bytes, page: Page) -> bytes | None:
    """Return the JPEG file in a page; None for any other page."""
    if page.first(COMPRESSION) not in _JPEG_COMPRESSIONS or JPEG_TABLES in page.tags:
        return None
    for offset, size in ((JPEG_OFFSET, JPEG_BYTES), (STRIP_OFFSETS, STRIP_BYTES)):
        at = page.first(offset)
        is_one = len(page.tags.get(offset, ())) == 1 and len(page.tags.get(size, ())) == 1
        if is_one and data[at : at + len(_JPEG)] == _JPEG:
            return data[at : at + page.first(size)]
    return None
