"""`frieze serve` over 100,000 images: time to the first answer, latency of 20 users, memory over 10,000 requests.

Usage: python -m benchmarks.web [FOLDER]   prints the table of docs/benchmarks.md; FOLDER keeps the index.
"""

import asyncio
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import numpy as np
from PIL import Image

import frieze.embedder
from benchmarks import FRIEZE
from benchmarks.startup import write_files, write_table
from benchmarks.tables import show

N_USERS, N_REQUESTS = 20, 10_000
PORT = 8599
ADDRESS = f"http://localhost:{PORT}"


def make_index(folder: Path) -> Path:
    """Build an index over 100,000 x 256 vectors, unless the folder has one."""
    index = folder / "t.index"
    if not index.exists():
        write_files(folder / "images")
        write_table(folder / "images", folder / "t.features")
        subprocess.run([FRIEZE, "index", folder / "t.features", "--out", index], check=True)
    return index


def serve(index: Path) -> tuple[subprocess.Popen[str], float]:
    """Start the server; return the process and the seconds until its first answer."""
    began = time.perf_counter()
    server = subprocess.Popen([FRIEZE, "serve", index, "--port", str(PORT)], stderr=subprocess.PIPE, text=True)
    for line in server.stderr or ():
        if ADDRESS.partition("//")[2].partition(":")[2] in line:
            break
    while True:
        try:
            httpx2.get(ADDRESS).raise_for_status()
        except httpx2.TransportError:
            continue
        return server, time.perf_counter() - began


def memory_mb(server: subprocess.Popen[str]) -> float:
    """Return a process's anonymous resident memory in MB; pages mapped from files can be dropped at any time."""
    lines = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


async def search_concurrently(n_requests: int) -> list[float]:
    """Search by id from 20 concurrent users, each on a plain socket; return each request's seconds."""
    rng = np.random.default_rng(0)
    ids = iter(rng.integers(0, 100_000, n_requests).tolist())
    seconds: list[float] = []

    async def one_user() -> None:
        reader, writer = await asyncio.open_connection("localhost", PORT)
        for number in ids:
            began = time.perf_counter()
            path = f"/search?id={number % 100:02d}%2F{number:06d}.jpg&k=48"
            writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost:{PORT}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            body = await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r")[0]))
            seconds.append(time.perf_counter() - began)
            if " 200 " not in head.partition("\r")[0]:
                raise SystemExit(f"{path}: {body!r}")
        writer.close()

    await asyncio.gather(*(one_user() for _ in range(N_USERS)))
    return seconds


def search_by_image(image: bytes) -> list[float]:
    """Search by an image 51 times; return the seconds of all but the first request, which loads the backbone."""
    seconds = []
    with httpx2.Client(timeout=60) as client:
        for _ in range(51):
            began = time.perf_counter()
            client.post(f"{ADDRESS}/search", params={"k": 48}, content=image).raise_for_status()
            seconds.append(time.perf_counter() - began)
    return seconds[1:]


def embed_locally(image: bytes) -> list[float]:
    """Decode and embed the same image in this process 51 times; return the seconds of all but the first."""
    backbone = frieze.embedder.open_backbone(frieze.embedder.BackboneRequest(handle="builtin"))
    engine, seconds = frieze.embedder.default_engine(backbone), []
    for _ in range(51):
        began = time.perf_counter()
        pixels, _ = frieze.embedder.decode_for(image, backbone.spec)
        engine.infer(pixels[None])
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def photograph() -> bytes:
    """Draw a JPEG of 640 x 480."""
    pixels = np.random.default_rng(0).normal(128, 40, (12, 16, 3)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def first_paint() -> float:
    """Return the milliseconds until the first contentful paint, the median of five."""
    from playwright.sync_api import sync_playwright

    code = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for _ in range(5):
            page = browser.new_page()
            page.goto(ADDRESS)
            page.wait_for_selector("#hits .tile")
            times.append(page.evaluate(code))
            page.close()
        browser.close()
    return float(np.median(times))


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory(prefix="frieze-page-") as scratch:
        index = make_index(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch))
        server, started = serve(index)
        try:
            painted = first_paint()
            asyncio.run(search_concurrently(1000))
            before = memory_mb(server)
            seconds = asyncio.run(search_concurrently(N_REQUESTS))
            after = memory_mb(server)
            by_image = search_by_image(photograph())
        finally:
            server.terminate()
            server.wait()
        rows = [
            ["from the command to its first answer, seconds", started],
            ["first paint, milliseconds", painted],
            [f"search by id, {N_USERS} at once: median, milliseconds", 1000 * float(np.median(seconds))],
            [
                f"search by id, {N_USERS} at once: 95th percentile, milliseconds",
                1000 * float(np.quantile(seconds, 0.95)),
            ],
            ["search by image, one by one: median, milliseconds", 1000 * float(np.median(by_image))],
            ["decoding it and the backbone alone", 1000 * float(np.median(embed_locally(photograph())))],
            ["memory before, MB", before],
            [f"memory after {N_REQUESTS:,} requests, MB", after],
        ]
        show("page", f"100,000 x 256, {os.cpu_count()} cores | ", rows, digits=1)


if __name__ == "__main__":
    main()
