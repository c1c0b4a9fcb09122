"""Epochs of a tiny network on points; the judge of a run that was cut is the unbroken one."""

import itertools
import shutil

import numpy as np
import pytest

from frieze.classifiers import FinetuneConfig
from frieze.classifiers.finetuning.inputs import Images, batches
from frieze.classifiers.finetuning.trainer import Trainer, TrainingState
from frieze.classifiers.finetuning.validation import Validation
from frieze.core import InputError, ModelError, import_keras

RNG = np.random.default_rng(0)
CODES = np.arange(60) % 3
POINTS = (np.eye(3)[CODES] + RNG.normal(0, 0.6, (60, 3))).astype(np.float32)
FITTED, WATCHED = np.arange(45), np.arange(45, 60)
STEPS = 5  # an epoch


class Run:
    """A network of fixed weights and its config, with a checkpoint of its own; `told` are its steps."""

    def __init__(self, path, *, stop_at=None, units=8, noise=0.0, **config):
        keras = import_keras()
        keras.utils.set_random_seed(1)
        points = keras.Input((3,))
        seen = keras.layers.GaussianNoise(noise, seed=3)(points) if noise else points
        hidden = keras.layers.Dense(units, activation="tanh")(seen)
        self.network = keras.Model([points], keras.layers.Dense(3, activation="softmax")(hidden))
        self.config = FinetuneConfig(**{"epochs": 3, "learning_rate": 0.05, "batch_size": 9} | config)
        self.path, self.stop_at, self.steps = path, stop_at, []

    def go(self, codes=CODES):
        """Run on these classes, watched on the true ones, and give the progress."""
        points = Images(lambda positions: POINTS[positions], [(3,)], "float32")
        return Trainer(self.network, self.config, n_rows=len(FITTED)).run(
            lambda epoch: batches(points, codes, FITTED, batch_size=9, seed=[0, epoch]),
            Validation(lambda: batches(points, CODES, WATCHED, batch_size=9, seed=None), CODES[WATCHED]),
            self.path,
            self.step,
        )

    def step(self, done, total):
        """Note a step, and break off at one."""
        self.steps.append((done, total))
        if done == self.stop_at:
            raise KeyboardInterrupt

    def watched_loss(self):
        """Measure the network as it is on the watched rows."""
        probabilities = np.asarray(self.network([POINTS[WATCHED]]))
        return float(-np.log(probabilities[np.arange(len(WATCHED)), CODES[WATCHED]]).mean())


@pytest.fixture
def run(tmp_path, tf):
    """`run(**options)`: a run at a checkpoint below tmp_path."""
    return lambda **options: Run(tmp_path / "checkpoint.npz", **options)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, tf):
    """A run of three epochs, and its progress."""
    whole = Run(tmp_path_factory.mktemp("unbroken") / "checkpoint.npz")
    return whole, whole.go()


def test_a_checkpoint_comes_back(tmp_path):
    """What is saved is loaded: history, best weights and state, in order; where nothing is, it is at the beginning."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype("f4") for shape in [(2, 3), (), *[(1,)] * 11]]
    one = TrainingState([{"val_loss": 0.5}, {"val_loss": 0.25, "loss": 0.1}], arrays[:2], arrays, arrays[:3])
    one.save(tmp_path / "c.npz")
    other = TrainingState.load(tmp_path / "c.npz")
    assert (other.history, other.best_epoch) == (one.history, 1)
    for mine, theirs in ((one.best, other.best), (one.state, other.state), (one.seeds, other.seeds)):
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
    assert TrainingState.load(tmp_path / "none.npz") == TrainingState()


def test_history_starts_before_training(unbroken):
    """The first entry is the start's, on the watched rows alone; the others tell both sides and the time."""
    history = unbroken[1].history
    of_validation = ["val_accuracy", "val_calibrated_loss", "val_loss"]
    assert sorted(history[0]) == of_validation
    assert [sorted(one) for one in history[1:]] == [["accuracy", "loss", "seconds", *of_validation]] * 3
    assert history[-1]["val_loss"] < history[0]["val_loss"]


def test_steps_are_reported(unbroken):
    """Each step of all epochs is told with the number there may be."""
    assert unbroken[0].steps == [(n, 3 * STEPS) for n in range(1, 3 * STEPS + 1)]


def test_the_best_weights_stay(unbroken):
    """In the end the network has the weights of the epoch whose calibrated loss is the lowest of the history."""
    best = min(unbroken[1].history, key=lambda one: one["val_calibrated_loss"])
    assert unbroken[0].watched_loss() == pytest.approx(best["val_loss"], rel=1e-5)


def test_a_sharper_epoch_is_not_at_a_disadvantage():
    """The best epoch has the lowest loss at its own temperature, also where its plain loss is higher than another's."""
    history = [{"val_loss": 0.5, "val_calibrated_loss": 0.45}, {"val_loss": 0.9, "val_calibrated_loss": 0.4}]
    assert TrainingState(history).best_epoch == 1


def test_epochs_of_an_earlier_version_are_judged_by_their_plain_loss():
    """A checkpoint that has no calibrated losses is resumed by the plain ones."""
    assert TrainingState([{"val_loss": 0.5}, {"val_loss": 0.4}, {"val_loss": 0.6}]).best_epoch == 1


def test_goes_on_where_it_was_cut(run, unbroken):
    """Cut within an epoch, it goes on after the last whole one, and ends with the weights of the unbroken run."""
    with pytest.raises(KeyboardInterrupt):
        run(stop_at=STEPS + 2).go()
    resumed = run()
    progress = resumed.go()
    assert resumed.steps[0] == (STEPS + 1, 3 * STEPS)
    assert len(progress.history) == 4
    pairs = zip(resumed.network.get_weights(), unbroken[0].network.get_weights(), strict=True)
    assert max(np.abs(one - other).max() for one, other in pairs) < 1e-4


def test_random_images_go_on_where_they_were_cut(run, tmp_path, tf):
    """Where the images are changed at random, a run that was cut sees those that the unbroken one sees."""
    whole = Run(tmp_path / "whole.npz", noise=0.7).go()
    with pytest.raises(KeyboardInterrupt):
        run(noise=0.7, stop_at=2 * STEPS + 1).go()
    resumed = run(noise=0.7).go()
    for name in ("loss", "val_loss"):
        assert [one[name] for one in resumed.history[1:]] == pytest.approx([one[name] for one in whole.history[1:]])


def test_a_finished_run_is_not_repeated(run, unbroken):
    """Run once more when all is done, it takes no step, and has the same best weights."""
    rerun = run()
    shutil.copy(unbroken[0].path, rerun.path)
    assert rerun.go().history == unbroken[1].history
    assert rerun.steps == []
    assert rerun.watched_loss() == pytest.approx(unbroken[0].watched_loss(), rel=1e-5)


def test_stops_when_patience_ends(run):
    """At a rate that soon makes it worse, it stops when `patience` epochs have been no better."""
    progress = run(learning_rate=0.9, epochs=20, patience=2).go()
    losses = [one["val_calibrated_loss"] for one in progress.history]
    assert progress.best_epoch == losses.index(min(losses))
    assert len(losses) - 1 == progress.best_epoch + 2 < 20


def test_the_start_may_be_best(run, unbroken):
    """Where each epoch makes it worse, the network ends with the weights that it had."""
    started, before = run(epochs=1), unbroken[0].network.get_weights()
    started.network.set_weights(before)
    assert started.go(codes=(CODES + 1) % 3).best_epoch == 0
    assert all(np.array_equal(a, b) for a, b in zip(started.network.get_weights(), before, strict=True))


def test_a_loss_that_is_no_number(run):
    """Where the loss is no longer finite, the run ends with a smaller rate to type; what was done stays."""
    broken = run()
    weights = [np.full_like(weight, np.nan) for weight in broken.network.get_weights()]
    broken.network.set_weights(weights)
    with pytest.raises(ModelError, match="The loss is no longer finite") as caught:
        broken.go()
    assert "`learning_rate=1e-5, force=True`" in caught.value.hint
    assert not broken.path.exists()


def test_the_rate_warms_up_and_falls(run):
    """It rises from nothing over a tenth of the steps to the highest, and falls to nothing as a cosine."""
    learning = Trainer(run().network, FinetuneConfig(epochs=20, learning_rate=0.01, batch_size=9), n_rows=45)
    rates = [float(learning._optimizer._learning_rate(step)) for step in range(101)]
    assert (rates[0], rates[100]) == (0, pytest.approx(0, abs=1e-6))
    assert rates[10] == max(rates) == pytest.approx(0.01)
    assert rates[55] == pytest.approx(0.005)
    assert all(one < other for one, other in itertools.pairwise(rates[:11]))


def test_a_constant_rate(run):
    """With the constant schedule the rate of each step is the one that was asked for."""
    config = FinetuneConfig(epochs=2, learning_rate=0.01, batch_size=9, schedule="constant")
    learning = Trainer(run().network, config, n_rows=45)
    assert float(learning._optimizer.learning_rate) == pytest.approx(0.01)


def test_another_network_is_refused(run):
    """A checkpoint of another network is told, and how to be rid of it."""
    run(epochs=1).go()
    with pytest.raises(InputError, match="is of another network") as caught:
        run(epochs=1, units=4).go()
    assert str(run().path.parent) in caught.value.hint
