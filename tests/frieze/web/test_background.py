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

    later, given = BackgroundResult(make), []
    assert later.state == "idle"
    askers = [threading.Thread(target=lambda: given.append(later.get())) for _ in range(5)]
    for asker in askers:
        asker.start()
    assert later.state in ("idle", "working")
    gate.set()
    for asker in askers:
        asker.join()
    assert (len(made), given, later.state) == (1, made * 5, "ready")


def test_failure_is_kept():
    """What could not be made says so to everybody who asks."""
    later = BackgroundResult(lambda: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            later.get()
    assert later.state == "failed"


def test_failure_holds_nothing():
    """However often a failure is told, it holds no more of those who asked."""
    later = BackgroundResult(lambda: 1 / 0)

    def told():
        with pytest.raises(ZeroDivisionError) as failure:
            later.get()
        return len(list(failure.traceback))

    assert len({told() for _ in range(5)}) == 1


def test_abandoned():
    """Who waits for what never ends is let go when it is given up; what is there already stays."""
    later, made = BackgroundResult(threading.Event().wait), BackgroundResult(lambda: 1)
    assert made.get() == 1
    told = []

    def wait():
        with pytest.raises(InputError) as error:
            later.get()
        told.append(error.value.message)

    waiter = threading.Thread(target=wait)
    waiter.start()
    for one in (later, made):
        one.abandon()
    waiter.join()
    assert (told, made.get()) == (["The page has ended."], 1)
