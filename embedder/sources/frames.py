"""Frames of files that hold several pictures: pages of TIFF files, animations, videos; each is a row."""

import contextlib
import functools
import io
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from PIL import Image

from frieze.core import ImageError, InputError, evenly_spaced
from frieze.embedder.sources.archives.samples import encode_samples
from frieze.embedder.sources.base import Content, read_error
from frieze.embedder.sources.files import open_uri, read_uri, to_path

FIRST = "first"
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
"""Extensions of videos, in lower case."""
SEVERAL = (".apng", ".avif", ".gif", ".png", ".tif", ".tiff", ".webp")
"""Extensions of pictures that may be several, in lower case."""
_RULE = re.compile(r"first|all|[1-9]\d*|(?P<seconds>\d+(\.\d+)?)s")
_FRAME = re.compile(r"(?P<file>.+\.\w+)/(?P<frame>\d+|\d+:\d\d\.\d{1,3})", re.DOTALL)
_GAP_S = 5.0
"""Frames further apart are reached by the key frame before, nearer ones by decoding on."""
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, Image.DecompressionBombError)


class FrameRule(NamedTuple):
    """Which frames of a file are rows.

    Attributes:
        most: At most so many, evenly spread; None for all.
        seconds: Of a video one frame each so many seconds; of other files the first alone.
    """

    most: int | None
    seconds: float | None = None

    @classmethod
    def of(cls, text: str) -> "FrameRule | None":
        """Parse the option; None for the first frame alone, and no videos.

        Raises:
            InputError: It is none of these.
        """
        match = _RULE.fullmatch(text)
        seconds = float(match["seconds"]) if match and match["seconds"] else None
        if match is None or seconds == 0:
            raise InputError(
                f"`frames={text!r}` is no choice of frames.",
                hint="Give `frames='first'`, `frames='all'`, a number of frames a file, or seconds, as `frames='2s'`.",
            )
        if text == FIRST:
            return None
        return cls(None if text == "all" or seconds else int(text), seconds)


def is_video_name(name: str) -> bool:
    """Return whether a file has the extension of a video.

    >>> is_video_name("a/clip.MP4"), is_video_name("a/clip.gif")
    (True, False)
    """
    return os.path.splitext(name)[1].lower() in VIDEOS


def list_frames(uri: str, rule: FrameRule) -> Sequence[str]:
    """Return the names of the frames of a file that are rows, in order; empty for a file of one picture.

    Args:
        uri: Absolute path.
        rule: Which.

    Raises:
        ImageError: A video can't be read.
        InputError: PyAV is missing.
    """
    if is_video_name(uri):
        return _list_times(uri, rule)
    if rule.seconds is not None or os.path.splitext(uri)[1].lower() not in SEVERAL:
        return ()
    try:
        with open_uri(uri) as file:
            return list_pages(file, rule)
    except OSError:  # told when it is read
        return ()


def list_pages(file: BinaryIO, rule: FrameRule) -> Sequence[str]:
    """Return the names of the frames of an animation or TIFF file that are rows; empty for a file of one picture."""
    n_frames = 1
    with contextlib.suppress(*_BROKEN), Image.open(file) as image:
        n_frames = getattr(image, "n_frames", 1)
    chosen = evenly_spaced(np.arange(n_frames), rule.most or n_frames)
    return [str(number) for number in chosen] if n_frames > 1 else ()


def split_frame(uri: str) -> tuple[str, str] | None:
    """Split the URI of a frame into that of its file and the frame's name; None for any other.

    >>> split_frame("/a/1.jpg") is None
    True
    """
    match = match_frame(uri)
    return match if match is not None and os.path.isfile(to_path(match[0])) else None


def match_frame(uri: str) -> tuple[str, str] | None:
    """Split a URI that looks like that of a frame, whether or not it is one.

    >>> match_frame("/a.zip/b.gif/3"), match_frame("/a/b.jpg/3")
    (('/a.zip/b.gif', '3'), None)
    """
    match = _FRAME.fullmatch(uri)
    if match is None or not (is_video_name(match["file"]) or match["file"].lower().endswith(SEVERAL)):
        return None
    return match["file"], match["frame"]


def read_frames(uris: Iterable[str], *, max_bytes: int) -> Iterator[Content]:
    """Yield the content of each image, some of which are frames; those of a file open it once."""
    for file_uri, group in itertools.groupby(map(_split, uris), key=lambda one: one[0]):
        names = [name for _, name in group]
        if names == [None]:
            yield _read_file(file_uri, max_bytes)
        else:
            frames = _Video if is_video_name(file_uri) else _Pages
            yield from _read_names(functools.partial(open_uri, file_uri), frames, [str(name) for name in names])


def read_pages(data: bytes, names: Sequence[str]) -> Iterator[Content]:
    """Yield frames of the bytes of an animation or TIFF file."""
    return _read_names(functools.partial(io.BytesIO, data), _Pages, names)


def _split(uri: str) -> tuple[str, str | None]:
    return split_frame(uri) or (uri, None)


def _read_file(uri: str, max_bytes: int) -> Content:
    try:
        return read_uri(uri, max_bytes=max_bytes)
    except ImageError as error:
        return error


def _read_names(open_file: Callable[[], BinaryIO], open_frames: Any, names: Sequence[str]) -> Iterator[Content]:
    n_read = 0
    try:
        with open_file() as file, open_frames(file) as frames:
            for name in names:
                n_read += 1
                yield frames.read(name)
    except ImageError as error:
        yield error
    except _BROKEN as error:
        yield ImageError("read", "damaged", f"the frame can't be read: {error}")
    if n_read < len(names):  # each by itself: those after a broken one may be whole
        rest = names[max(n_read, 1) :]
        yield from itertools.chain.from_iterable(_read_names(open_file, open_frames, [name]) for name in rest)


class _Pages:
    """The frames of an animation, or the pages of a TIFF file."""

    def __init__(self, file: BinaryIO) -> None:
        self._image = Image.open(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._image.close()

    def read(self, name: str) -> bytes:
        """Return a frame as the bytes of a file; pages of more than 8 bits keep their mode."""
        self._image.seek(int(name))
        out = io.BytesIO()
        is_page = self._image.format == "TIFF"
        frame = self._image if is_page else self._image.convert("RGBA")
        frame.save(out, "TIFF" if is_page else "PNG", **({} if is_page else {"compress_level": 1}))
        return out.getvalue()


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise InputError("Reading videos needs PyAV.", hint="pip install 'frieze[video]'") from error
    return av


class _Video:
    """The frames of a video's first stream of pictures, which are decoded one after another."""

    def __init__(self, file: BinaryIO) -> None:
        self._container = _av().open(file)
        if not self._container.streams.video:
            raise ImageError("read", "unsupported", "the video has no pictures")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._at = -_GAP_S - 1
        self._frames: Iterator[Any] = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def duration_s(self) -> float:
        """Its length in seconds; 0 where the file does not say."""
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        return (self._container.duration or 0) / 1e6

    @property
    def rate(self) -> float:
        """Its frames a second."""
        return float(self._stream.average_rate or 25)

    def read(self, name: str) -> bytes:
        """Return the frame that is shown at a time, upright, as the bytes of a file."""
        minutes, _, seconds = name.partition(":")
        frame = self._frame_at(60 * int(minutes) + float(seconds))
        quarters = round(getattr(frame, "rotation", 0) / 90) % 4  # counter-clockwise, as np.rot90 turns
        return encode_samples(np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarters)))

    def _frame_at(self, second: float) -> Any:
        start_s = float((self._stream.start_time or 0) * self._stream.time_base)
        if not 0 <= second - self._at <= _GAP_S:
            self._container.seek(round((start_s + second) / self._stream.time_base), stream=self._stream)
            self._frames = self._container.decode(self._stream)
        for frame in self._frames:
            self._at = (frame.time or 0.0) - start_s
            if self._at + 1 / self.rate > second + 1e-3:  # the frame is shown until the next one
                return frame
        raise ImageError("read", "truncated", "the video ends before this frame, or is damaged there")


def _list_times(uri: str, rule: FrameRule) -> Sequence[str]:
    try:
        with open_uri(uri) as file, _Video(file) as video:
            duration_s, step_s = video.duration_s, rule.seconds or 1 / video.rate
    except OSError as error:
        raise read_error(error) from error
    except _BROKEN as error:
        raise ImageError("read", "damaged", f"the video can't be read: {error}") from error
    times = np.arange(0, max(duration_s - 1e-6, 1e-6), step_s)
    chosen = times if rule.most is None else times[evenly_spaced(np.arange(len(times)), rule.most)]
    return list(dict.fromkeys(_to_name(float(second)) for second in chosen))


def _to_name(second: float) -> str:
    """Return the name of a frame by its time.

    >>> _to_name(12.0), _to_name(3725.04)
    ('00:12.0', '62:05.04')
    """
    milliseconds = round(second * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    decimals = f"{rest % 1000:03d}".rstrip("0") or "0"
    return f"{minutes:02d}:{rest // 1000:02d}.{decimals}"
