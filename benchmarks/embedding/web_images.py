"""Fetching 10,000 images from a server on loopback: Frieze's reader beside img2dataset, in turn.

Usage: FRIEZE_DATA=... IMG2DATASET=ENV/bin/python python -m benchmarks.embedding.web_images

img2dataset needs an environment of its own. Both keep each image as a file, unchanged, with
the same number of threads in one process. Prints images a second of each round and the ratio.
"""

import asyncio
import csv
import multiprocessing
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.embedding.source_formats import read_images
from frieze.embedder import SourceOptions, open_source

_ROUNDS = 2
_THREADS = 16
"""Of img2dataset: as many as Frieze has connections to one host."""
_DOWNLOAD = """
import sys, time, img2dataset
start = time.perf_counter()
img2dataset.download(url_list=sys.argv[1], input_format="csv", url_col="url", output_folder=sys.argv[2],
    output_format="files", processes_count=1, thread_count=int(sys.argv[3]), resize_mode="no",
    disable_all_reencoding=True, number_sample_per_shard=10000, user_agent_token="bench")
print("seconds", time.perf_counter() - start)
"""


def serve(images: dict[str, bytes], port: "multiprocessing.Queue[int]") -> None:
    """Send images from memory, over kept connections."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = images[head.split(b" ", 2)[1].decode()]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                if b"connection: close" in head.lower():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def fetch(manifest: Path, keep: Path) -> float:
    """Return the images a second of Frieze, which keeps them as files."""
    source = open_source(manifest, SourceOptions(labels="none", allow_private=True, keep=str(keep)))
    n_images, start = len(source.listing.images), time.perf_counter()
    n_read = sum(isinstance(one, bytes) for one in source.read(np.arange(n_images)))
    if n_read < n_images:
        raise SystemExit(f"{n_images - n_read} images were not fetched.")
    return n_images / (time.perf_counter() - start)


def download(manifest: Path, out: Path, n_images: int) -> float:
    """Return the images a second of img2dataset."""
    command = [os.environ["IMG2DATASET"], "-c", _DOWNLOAD, manifest, out, str(_THREADS)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    n_files = sum(1 for _ in out.glob("*/*.jpg"))
    if n_files < n_images:
        raise SystemExit(f"img2dataset fetched {n_files} of {n_images} images.")
    return n_images / float(printed.rpartition("seconds ")[2])


def main() -> None:
    """Print the rates."""
    images = {f"/{name}.jpg": data for name, _, data in read_images()}
    port: multiprocessing.Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(images, port), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory(prefix="frieze-web-") as folder:
        manifest, host = Path(folder) / "urls.csv", f"http://127.0.0.1:{port.get()}"
        with manifest.open("w", newline="") as file:
            csv.writer(file).writerows([["url"], *([host + name] for name in images)])
        ratios = []
        for number in range(_ROUNDS):
            ours = fetch(manifest, Path(folder) / f"kept-{number}")
            theirs = download(manifest, Path(folder) / f"files-{number}", len(images))
            ratios.append(ours / theirs)
            print(f"frieze {ours:,.0f} images/s, img2dataset {theirs:,.0f}: ratio {ratios[-1]:.2f}")
    server.terminate()
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
