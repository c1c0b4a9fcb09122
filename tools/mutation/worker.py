"""A process that has imported pytest and the libraries on its command line, and runs tests in forked children.

It reads lines of JSON (path, text, tests, limit_s) on stdin, and answers each with a line (state, test) on stdout. Its
folder is a scratch copy of the checkout, which is first on PYTHONPATH.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TextIO

import pytest

_MOST_BROKEN = 3
_CLEAN_LIMIT_S = 12.0
_DECIDED = {"passed": "survived", "none": "no test", "slow": "time limit"}
_OPTIONS = ("-q", "-x", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")


class _Progress:
    """Writes down which test runs."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        print(nodeid, file=self._file, flush=True)


def run_tests(arguments: list[str], *, limit_s: float) -> tuple[str, str]:
    """Run pytest in a forked child that has a process group of its own.

    Returns:
        passed, none (no tests), failed, slow (many tests) or hung (one test); and the test that ran last.
    """
    Path(tempfile.gettempdir()).mkdir(exist_ok=True)  # a mutant may have removed it
    with tempfile.TemporaryFile("w+", encoding="utf-8") as notes:  # without a name that a mutant could remove
        child = os.fork()
        if not child:
            os.setsid()
            os._exit(pytest.main([*_OPTIONS, *arguments], plugins=[_Progress(notes)]))
        code = _wait(child, limit_s)
        silent_s = time.time() - os.fstat(notes.fileno()).st_mtime
        notes.seek(0)
        last = (notes.read().splitlines() or [""])[-1]
    if code is None:
        return ("hung" if last and silent_s > limit_s / 3 else "slow"), last
    return {0: "passed", 5: "none"}.get(code, "failed"), last


def _wait(child: int, limit_s: float) -> int | None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def try_mutant(path: Path, text: str, tests: list[str], *, limit_s: float) -> tuple[str, str]:
    """Run a mutant's tests until one fails that passes without the mutant.

    Returns:
        killed, survived, no test, or time limit; and the test that killed it or ran at last.

    Raises:
        SystemExit: pytest cannot run the tests, even without the mutant.
    """
    original, skipped, end = path.read_bytes(), list[str](), time.monotonic() + limit_s
    for _ in range(_MOST_BROKEN):
        path.write_text(text, encoding="utf-8")
        try:
            state, test = run_tests([*tests, *skipped], limit_s=max(1.0, end - time.monotonic()))
        finally:
            path.write_bytes(original)
        if state in _DECIDED:
            return _DECIDED[state], test if state == "slow" else ""
        clean, _ = run_tests([test] if test else [*tests, "--collect-only"], limit_s=_CLEAN_LIMIT_S)
        if clean != "failed":
            return "killed", test if clean == "passed" or not test else f"{test} (too slow to run without the mutant)"
        if not test:
            raise SystemExit(f"pytest cannot collect {tests}.")
        skipped += ["--deselect", test]  # it fails here without the mutant too
    return "survived", ""


def main() -> None:
    """Import what is slow to import, then try one mutant a line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    pytest.main(["--markers", "-q"])  # loads the plugins, which each run would load and rewrite anew
    sys.dont_write_bytecode = True
    for name in sys.argv[1:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        mutant = json.loads(line)
        state = try_mutant(Path(mutant["path"]), mutant["text"], mutant["tests"], limit_s=mutant["limit_s"])
        answers.write(json.dumps(state) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
