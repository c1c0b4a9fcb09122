"""The page as a Python function: one process over an index that is already there."""

import importlib.util
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from frieze import terminal as output
from frieze.api.folder_kinds import check_kind
from frieze.api.paths import to_place
from frieze.core import InputError, counted

if TYPE_CHECKING:
    from frieze.web.collection import Collection

PORT = 8501
LOOPBACK = "127.0.0.1"
_LIBRARIES = ("fastapi", "jinja2", "uvicorn")


def serve(index: str | Path, *, head: str | Path | None = None, host: str = LOOPBACK, port: int = PORT) -> None:
    """Serve a page on which one searches, looks through and maps the images of an index; it ends with Ctrl-C.

    The index is mapped, not read, and stays as it was opened; the backbone is loaded when the first image is brought.

    Args:
        index: The index's folder.
        head: Folder of a head, which then says what it takes a brought image for, and what it takes wrongly.
        host: Address to listen on; only this machine reaches the default.
        port: Port to listen on; 0 for any free one.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"The page needs {', '.join(missing)}.", hint="Type: pip install 'frieze[web]'")
    check_kind(to_place(index), "index")
    if head is not None:
        check_kind(to_place(head), "head")
    from frieze.web.collection import open_collection
    from frieze.web.thumbnails import cache_file

    with _listening(host, port) as listener:
        collection = open_collection(to_place(index), None if head is None else to_place(head), cache_file())
        _run(collection, listener, names=frozenset({host.lower(), socket.gethostname().lower()}))


def _run(collection: "Collection", listener: socket.socket, *, names: frozenset[str]) -> None:
    import uvicorn

    from frieze.web.app import make_app

    host, port = listener.getsockname()[:2]
    try:
        app = make_app(collection, hosts=names)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=2)
        )
        shown = f"[{host}]" if ":" in host else host
        output.say(f"{counted(len(collection.index), 'image')} at http://{shown}:{port} (Ctrl-C ends it)")
        server.run(sockets=[listener])
    finally:
        collection.close()


def _listening(host: str, port: int) -> socket.socket:
    """Open the port.

    Raises:
        InputError: It is taken, or the address is not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:  # the latter of a name that no machine can have
        told = getattr(error, "strerror", None) or error
        raise InputError(
            f"Can't listen on {host}:{port}: {told}.",
            hint="Give another --port, or --port 0 for any.",
        ) from error
