"""A hostile server on loopback: each path behaves in a way of its own."""

import contextlib
import gzip
import http.server
import io
import threading
import urllib.parse

import numpy as np
import pytest
from PIL import Image


def _image():
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


IMAGE = _image()
"""A PNG that the server sends where it behaves."""


class _Hostile(http.server.BaseHTTPRequestHandler):
    """Answers by the first part of the path, as named in `_ANSWERS`; counts requests by path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Answer."""
        server = self.server
        with server.lock:
            server.requests.append(self.path)
            server.headers_seen.append(dict(self.headers))
            server.n_active += 1
            server.most_active = max(server.most_active, server.n_active)
        try:
            with contextlib.suppress(OSError):
                getattr(self, f"_{self.path.strip('/').partition('/')[0].partition('.')[0]}", self._missing)()
        finally:
            with server.lock:
                server.n_active -= 1

    def _send(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _good(self):
        self._send(200, IMAGE)

    def _missing(self):
        self._send(404, b"no such image")

    def _html(self):
        self._send(200, b"<html>" + b" " * 100 + b"please log in")

    def _empty(self):
        self._send(200)

    def _slow(self):  # a byte now and then, until the server is closed
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not self.server.is_closed.wait(0.05):
            self.wfile.write(b"\x89")

    def _silent(self):
        self.server.is_closed.wait(60)

    def _endless(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(IMAGE)
        while not self.server.is_closed.is_set():
            self.wfile.write(bytes(65536))

    def _short(self):  # fewer bytes than it says
        self._send(200, IMAGE[:-20], Content_Length=str(len(IMAGE)))
        self.close_connection = True

    def _huge(self):
        self._send(200, b"", Content_Length=str(1 << 40))
        self.close_connection = True

    def _loop(self):
        self._send(302, Location="/loop2")

    def _loop2(self):
        self._send(302, Location="/loop")

    def _hops(self):
        n = int(self.path.rpartition("/")[2])
        self._send(302, Location=f"/hops/{n - 1}" if n else "/good", Set_Cookie="a=b")

    def _away(self):
        self._send(302, Location=self.server.away)

    def _busy(self):
        first = self.server.requests.count(self.path) == 1
        self._send(429, Retry_After=urllib.parse.unquote(self.path.rpartition("/")[2])) if first else self._good()

    def _ill(self):
        self._send(503) if self.server.requests.count(self.path) == 1 else self._good()

    def _zipped(self):
        self._send(200, gzip.compress(IMAGE), Content_Encoding="gzip")

    def _bomb(self):
        self._send(200, gzip.compress(IMAGE + bytes(2 << 20)), Content_Encoding="gzip")

    def _garbage(self):
        self.wfile.write(b"\x00\x01 not HTTP at all\r\n\r\n")
        self.close_connection = True

    def log_message(self, *_args):
        """Print nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Hostile)
        self.lock, self.is_closed = threading.Lock(), threading.Event()
        self.requests, self.headers_seen, self.n_active, self.most_active = [], [], 0, 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.away, self.image = "", IMAGE

    def handle_error(self, *_args):
        """Print nothing: its clients leave early."""


@pytest.fixture
def server():
    """The server, in a thread."""
    with _Server() as opened:
        thread = threading.Thread(target=opened.serve_forever, args=(0.01,))
        thread.start()
        yield opened
        opened.is_closed.set()
        opened.shutdown()
        thread.join()
