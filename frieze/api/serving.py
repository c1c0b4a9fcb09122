"""`frieze.serve`: the page, one process over an existing index."""

import errno
import importlib.util
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from frieze import terminal
from frieze.api.confirming import find_copies
from frieze.api.folder_kinds import check_kind
from frieze.api.paths import to_local_path
from frieze.core import InputError, counted

if TYPE_CHECKING:
    import uvicorn

    from frieze.web.collection import Collection

PORT = 8501
LOOPBACK = "127.0.0.1"
_LIBRARIES = ("fastapi", "uvicorn")


def serve(
    index: str | Path,
    *,
    head: str | Path | None = None,
    labels: str | Path | None = None,
    read_only: bool = False,
    host: str = LOOPBACK,
    port: int = PORT,
) -> None:
    """Serve a page to search, browse and map the images of an index, until Ctrl-C.

    The index is memory-mapped and stays as it was opened; the backbone is loaded when the first image is uploaded.
    Decisions on duplicates are appended to a file beside the index: `photos.index.decisions.jsonl` for `photos.index`.

    Args:
        index: The index's folder.
        head: Folder of a head that predicts uploaded images and lists its mistakes.
        labels: A Parquet file for the labels and tags that are given on the page, created where it is missing; `embed`,
            `train` and `audit` read it. A CSV file or another table of labels is read once, into
            `NAME.labels.parquet` beside it. Each change is appended to a log beside it, `FILE.log.jsonl`.
        read_only: Write nothing: neither labels nor decisions on duplicates.
        host: Address to listen on; the default is reachable from this machine only.
        port: Port to listen on; 0 for any free one.

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    check_libraries()
    check_kind(to_local_path(index), "index")
    if head is not None:
        check_kind(to_local_path(head), "head")
    with _listening(host, port) as listener:
        head_path, labels_path = (None if one is None else to_local_path(one) for one in (head, labels))
        collection = _open(to_local_path(index), head_path, labels_path, is_read_only=read_only)
        _serve(collection, listener, host=host)


def check_libraries() -> None:
    """Check that the libraries of the page are installed.

    Raises:
        InputError: They are not.
    """
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"The page needs {', '.join(missing)}.", hint="Type: pip install 'frieze[web]'")


def serve_at(index: Path, *, port: int | None, opened: Callable[[str], None] | None) -> None:
    """Serve a page on this machine, until Ctrl-C.

    Args:
        index: The index's folder.
        port: Port to listen on; None for the usual one, or any free one where that is in use.
        opened: Called with the address once it answers.

    Raises:
        InputError: The port is in use.
    """
    try:
        listener = _listening(LOOPBACK, PORT if port is None else port)
    except InputError:
        if port is not None:
            raise
        listener = _listening(LOOPBACK, 0)
    with listener:
        _serve(_open(index), listener, opened=opened)


def _open(
    index: Path, head: Path | None = None, labels: Path | None = None, *, is_read_only: bool = False
) -> "Collection":
    from frieze.api.auditing import audit
    from frieze.api.heads import train
    from frieze.web.collection import open_collection
    from frieze.web.thumbnails import cache_file

    collection = open_collection(
        index,
        head,
        cache_file(),
        find_duplicates=find_copies,
        labels=labels,
        is_read_only=is_read_only,
    )
    collection.train_head = train
    collection.mistakes.run_audit = audit
    return collection


def _serve(
    collection: "Collection",
    listener: socket.socket,
    *,
    host: str = LOOPBACK,
    opened: Callable[[str], None] | None = None,
) -> None:
    names = frozenset({host.lower(), socket.gethostname().lower()})
    _run(collection, listener, names=names, opened=opened)


def _run(
    collection: "Collection",
    listener: socket.socket,
    *,
    names: frozenset[str],
    opened: Callable[[str], None] | None = None,
) -> None:
    import uvicorn

    from frieze.web.app import make_app

    host, port = listener.getsockname()[:2]
    try:
        token = secrets.token_urlsafe(16)
        app = make_app(collection, hosts=names, token=token)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=2)
        )
        shown = f"[{host}]" if ":" in host else host
        n_images = counted(len(collection.index), "image")
        address = f"http://{shown}:{port}"
        page = f"{address}/#token={token}"
        terminal.show_message(f"{n_images} at {page} (Ctrl-C ends it)", is_error=True)  # also with --quiet
        for line in _describe_files(collection):
            terminal.show_message(line)
        if opened is not None:
            opened(page)  # the socket listens: the browser waits for the first answer
        _run_until_ctrl_c(server, listener, address)
    finally:
        collection.close()


def _run_until_ctrl_c(server: "uvicorn.Server", listener: socket.socket, address: str) -> None:
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn has ended what it served: the way to end a page, no interruption
        terminal.show_message(f"The page at {address} is closed; the same command opens it again.")


def _describe_files(collection: "Collection") -> Iterator[str]:
    log = collection.decision_log
    if collection.is_read_only:
        yield "Nothing is written: the page is read-only."
        return
    if log.is_writable:
        yield f"Decisions on duplicates are stored in {log.path}"
    else:
        yield f"{log.path} can't be written: decisions on duplicates are kept in the browser's tab only."
    yield from collection.notes
    if collection.labels is not None:
        yield f"Labels and tags are stored in {collection.labels.path}"


def _listening(host: str, port: int) -> socket.socket:
    """Bind a socket.

    Raises:
        InputError: The port is in use, or the address is not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:  # UnicodeError: of a name that no host can have
        reason = getattr(error, "strerror", None) or error
        is_port = getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES)
        hint = "Use another `port`, or `port=0` for any." if is_port else "Use an address of this machine as `host`."
        raise InputError(f"Can't listen on {host}:{port}: {reason}.", hint=hint) from error
