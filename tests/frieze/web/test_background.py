import threading

import pytest

from frieze.core import InputError
from frieze.web.background import BackgroundResult


def test_made_once():
    """However many ask at once, it is made once, and all are given the same."""
    made = []
    gate = threading.Event()

    def make():
        gate.wait()
        made.append(object())
        return made[0]

    result, given = BackgroundResult(make), []
    assert result.state == "idle"
    askers = [threading.Thread(target=lambda: given.append(result.get())) for _ in range(5)]
    for asker in askers:
        asker.start()
    assert result.state in ("idle", "working")
    gate.set()
    for asker in askers:
        asker.join()
    assert (len(made), given, result.state) == (1, made * 5, "ready")


def test_failure_is_kept():
    """What could not be made says so to everybody who asks."""
    result = BackgroundResult(lambda: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            result.get()
    assert result.state == "failed"


def test_failure_holds_nothing():
    """However often a failure is raised, it keeps no request alive."""
    result = BackgroundResult(lambda: 1 / 0)

    def results():
        with pytest.raises(ZeroDivisionError) as failure:
            result.get()
        return len(list(failure.traceback))

    assert len({results() for _ in range(5)}) == 1


def test_abandoned():
    """Who waits for what never ends is let go when it is given up; what is there already stays."""
    result, made = BackgroundResult(threading.Event().wait), BackgroundResult(lambda: 1)
    assert made.get() == 1
    results = []

    def wait():
        with pytest.raises(InputError) as error:
            result.get()
        results.append(error.value.message)

    waiter = threading.Thread(target=wait)
    waiter.start()
    for one in (result, made):
        one.abandon()
    waiter.join()
    assert (results, made.get()) == (["The page has ended."], 1)
