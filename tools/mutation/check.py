"""Draw mutants by the commit, run their tests in scratch copies of the checkout, and list the survivors."""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tools.mutation import worker
from tools.mutation.find_tests import find_tests
from tools.mutation.mutants import Mutant, draw_mutants

_ROOT = Path(__file__).parents[2]
_FOLDERS = ("frieze", "embedder", "index", "classifiers", "features")
_HEAVY = ("numpy", "pyarrow.parquet", "pyarrow.dataset", "faiss", "sklearn.linear_model", "sklearn.svm", "keras")
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "dist", "demo-out")


class Result(NamedTuple):
    """The outcome of a mutant.

    Attributes:
        mutant: The mutant.
        state: killed, survived, no test, time limit, or not run.
        test: The test that killed it, or that ran at the time limit.
        seconds: Wall time.
    """

    mutant: Mutant
    state: str
    test: str
    seconds: float


class Worker:
    """A process of `worker.py` in a scratch copy of the checkout."""

    def __init__(self, root: Path, folder: Path) -> None:
        copy, scratch = folder / "copy", folder / "tmp"
        shutil.copytree(root, copy, symlinks=True, ignore=_LEFT_OUT)
        scratch.mkdir()
        self._log = folder / "log"
        variables = os.environ | {"PYTHONPATH": str(copy), "TMPDIR": str(scratch)}
        with self._log.open("w") as log:
            command = [sys.executable, "-P", worker.__file__, *_HEAVY]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
            self._process = subprocess.Popen(command, cwd=copy, env=variables, text=True, **pipes)  # type: ignore[call-overload]  # noqa: S603

    def run(self, mutant: Mutant, tests: list[str], *, limit_s: float) -> tuple[str, str]:
        """Run a mutant's tests; see `worker.try_mutant`.

        Raises:
            SystemExit: The process ended.
        """
        request = {"path": str(mutant.path), "text": mutant.text, "tests": tests, "limit_s": limit_s}
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"A worker ended at {mutant.path} {mutant.line}:\n{self._log.read_text()[-2000:]}")
        state, test = json.loads(answer)
        return state, test

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def run_mutants(root: Path, mutants: list[Mutant], *, limit_s: float, each_s: float) -> list[Result]:
    """Try mutants in a scratch copy of a checkout, one after the other: they run beside the tests.

    Args:
        root: The checkout.
        mutants: Of its files.
        limit_s: Seconds after which no further mutant is run.
        each_s: Seconds for the tests of one mutant.
    """
    end, results = time.monotonic() + limit_s, list[Result]()
    tests_of = {mutant.path: find_tests(root, mutant.path) for mutant in mutants}
    with tempfile.TemporaryDirectory(prefix="frieze-mutants-", ignore_cleanup_errors=True) as folder:
        worker_process = Worker(root, Path(folder))
        try:
            for mutant in mutants:
                start = time.monotonic()
                if not tests_of[mutant.path]:
                    state, test = "no test", ""
                elif start >= end:
                    state, test = "not run", ""
                else:
                    state, test = worker_process.run(mutant, tests_of[mutant.path], limit_s=each_s)
                results.append(Result(mutant, state, test, time.monotonic() - start))
        finally:
            worker_process.close()
    return results


def read_seed(root: Path) -> str:
    """Return the commit's hash; a fixed seed where there is no commit to ask for."""
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    with contextlib.suppress(FileNotFoundError):
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
        if done.returncode == 0:
            return done.stdout.strip()
    print("This is no git checkout: the seed is fixed.")
    return "frieze"


def show(results: list[Result]) -> None:
    """Print a line for each mutant, then the change of each that survived."""
    for mutant, state, test, seconds in sorted(results, key=lambda result: result.state):
        print(f"{state:10}  {seconds:4.1f} s  {mutant.path}:{mutant.line} {mutant.owner}  {test}")
    for mutant in (result.mutant for result in results if result.state not in {"killed", "not run"}):
        print(f"\n{mutant.path}:{mutant.line} {mutant.owner}\n{mutant.diff}")
    counts = Counter(result.state for result in results)
    print("\n" + ", ".join(f"{count} {state}" for state, count in counts.most_common()))


def main() -> None:
    """Run the check; survivors are listed and are no failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", help="by default the commit's hash")
    parser.add_argument("--mutants", type=int, default=30, help="how many to draw")
    parser.add_argument("--limit-s", type=float, default=420.0, help="seconds after which no further mutant is run")
    parser.add_argument("--each-s", type=float, default=25.0, help="seconds for the tests of one mutant")
    options = parser.parse_args()
    seed = options.seed or read_seed(_ROOT)
    print(f"{options.mutants} mutants, seed {seed}", flush=True)
    mutants = draw_mutants(_ROOT, _FOLDERS, seed=seed, n_mutants=options.mutants)
    show(run_mutants(_ROOT, mutants, limit_s=options.limit_s, each_s=options.each_s))
