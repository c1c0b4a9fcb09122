import dataclasses
import re
import types
from pathlib import Path

import numpy as np
import pytest

from frieze.core import InputError, MismatchError, ModelError
from frieze.embedder import JobOptions
from frieze.embedder.backbones import Backbone
from frieze.embedder.engines.benchmark import Trial
from frieze.embedder.engines.openvino import OpenVINOEngine
from frieze.embedder.engines.tensorflow import TensorFlowEngine
from frieze.embedder.job import select_engine
from frieze.embedder.job.select_engine import choose_engine, default_engine
from frieze.features import BackboneSpec, Manifest

SPEC = BackboneSpec(name="fake", handle="fake", fingerprint="ab" * 32, dim=8, image_size=(4, 4))
PIXELS = np.random.default_rng(0).integers(0, 256, (256, 4, 4, 3), dtype=np.uint8)
RATES = {"tensorflow": 100.0, "openvino": 150.0}
NOISE = np.random.default_rng(1).normal(size=(256, 8)).astype(np.float32)


ALL_DRIFT = dict.fromkeys(
    [("openvino", "bfloat16"), ("openvino", "bfloat16", "first layers"), ("tensorflow", "bfloat16")], 0.5
)


@pytest.fixture
def machine(monkeypatch, tf):
    """`machine(noise={})`: fake engines with noise in some precisions; returns a record of those made and tried."""
    record = types.SimpleNamespace(made=[], tried=0, measured=[])

    def set_up(noise=None, cores=2, *, has_processes=False):
        def needs_processes(_sample, workers):
            record.measured.append(workers)
            return has_processes

        def make(name):
            def engine(backbone, settings):
                record.made.append((name, settings.precision, settings.batch_size, settings.streams))
                first_layers = ("first layers",) if settings.has_float32_stem else ()
                scale = (noise or {}).get((name, settings.precision, *first_layers), 0.0)
                base = PIXELS.reshape(256, -1)[:, :8].astype(np.float32) - 128
                return types.SimpleNamespace(
                    name=name,
                    batch_size=settings.batch_size or 32,
                    depth=1,
                    infer=lambda pixels: base[: len(pixels)] + scale * 70 * NOISE[: len(pixels)],
                    submit=lambda pixels: lambda: pixels,
                )

            engine.fallbacks = OpenVINOEngine.fallbacks if name == "openvino" else TensorFlowEngine.fallbacks
            engine.unsupported_reason = lambda settings: (
                None if settings.precision != "float16" else f"{name} has no float16"
            )
            return engine

        def try_engines(engine, names, backbone, settings, pixels, n_images):
            record.tried += 1
            fast = dataclasses.replace(settings, batch_size=4, streams=2)
            return [[Trial(name, fast, RATES[name])] for name in sorted(names, key=lambda name: -RATES[name])]

        kinds = {name: make(name) for name in RATES}
        monkeypatch.setattr("frieze.embedder.engines.base.ENGINES", kinds)
        monkeypatch.setattr(select_engine, "ENGINES", kinds)
        monkeypatch.setattr("frieze.embedder.engines.benchmark.ENGINES", kinds)
        monkeypatch.setattr(select_engine, "try_engines", try_engines)
        monkeypatch.setattr(select_engine, "count_cores", lambda: cores)
        monkeypatch.setattr(select_engine, "needs_processes", needs_processes)
        return record

    return set_up


def choose(n=256, *, precision="float32", decode_s=0.001, stored=None, drift=None, kept=None, **options):
    """Choose an engine for so many images; `kept` is the drift of a kept graph."""
    sample = types.SimpleNamespace(pixels=PIXELS[:n], rows=np.arange(n), is_full=n >= 256, decode_s=decode_s)
    spec = dataclasses.replace(SPEC, precision=precision)
    manifest = Manifest(spec=dataclasses.replace(spec, drift=drift), source="s", tuning=stored or {})
    backbone = Backbone(spec, None, graph_path=None if kept is None else Path("model.xml"), graph_drift=kept)
    return choose_engine(backbone, JobOptions(**options), sample, manifest, Path("none"))


def test_fastest(machine):
    """With enough images the fastest engine is chosen with its best settings, and compared with the reference."""
    record = machine()
    choice = choose()
    assert (choice.engine.name, choice.batch_size, record.tried) == ("openvino", 32, 1)
    assert choice.spec.drift == {
        "engine": "openvino",
        "images": 32,
        "least_cosine": 1.0,
        "median_cosine": 1.0,
        "recall_at_10": None,
    }


def test_few_images(machine):
    """With few images the reference is chosen without a trial, and nothing is stored for later runs."""
    record = machine()
    choice = choose(24)
    assert (choice.engine.name, choice.tuning, record.tried) == ("tensorflow", {}, 0)
    assert choice.spec.drift is None


KEPT = {"images": 16, "least_cosine": 0.99999}


def test_kept_graph(machine):
    """A kept graph runs few images, and many, without the reference: neither loaded, tried nor compared with."""
    record = machine()
    for n in (24, 256):
        choice = choose(n, kept=KEPT)
        assert (choice.engine.name, choice.spec.drift) == ("openvino", {"engine": "openvino"} | KEPT)
    assert record.tried == 1
    assert list(choice.tuning["tried"]) == ["openvino, batches of 4, 2 streams"]


def test_kept_graph_of_a_long_run(machine):
    """In a run that takes far longer than loading the reference, both are tried, and compared on its own images."""
    record = machine()
    choice = choose(1_000_000, kept=KEPT)
    assert (choice.engine.name, record.tried, len(choice.tuning["tried"])) == ("openvino", 2, 2)
    assert choice.spec.drift["images"] == 32


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"engine": "tensorflow"}])
def test_kept_graph_is_for_float32(options, machine):
    """In a lower precision a kept graph is compared like any other, and a named engine stays the one."""
    machine({("openvino", "bfloat16"): 0.001, ("tensorflow", "bfloat16"): 0.001})
    choice = choose(kept=KEPT, **options)
    assert choice.engine.name == options.get("engine", "openvino")
    assert choice.spec.drift is None or choice.spec.drift["images"] == 256


def test_drifting_engine_is_skipped(machine):
    """An engine that drifts is not chosen however fast, and is an error if named explicitly."""
    machine({("openvino", "float32"): 0.1})
    assert choose().engine.name == "tensorflow"
    with pytest.raises(MismatchError, match="openvino in float32 changes this backbone's embeddings too much"):
        choose(engine="openvino")


def test_checked_with_few_images_too(machine):
    """An engine named explicitly is compared with the reference, however few images there are."""
    machine({("openvino", "float32"): 0.1})
    with pytest.raises(MismatchError):
        choose(3, engine="openvino")


def test_low_precision_without_drift(machine):
    """A lower precision is compared with float32 on the whole sample, and the drift is stored in the spec."""
    machine({("openvino", "bfloat16"): 0.001})
    drift = choose(precision="bfloat16").spec.drift
    assert (drift["engine"], drift["images"]) == ("openvino", 256)
    assert 0.95 <= drift["recall_at_10"] < 1


def test_low_precision_with_drift(machine):
    """A lower precision that changes the neighbours is refused with the figures, unless the drift is accepted."""
    machine(ALL_DRIFT)
    with pytest.raises(
        MismatchError, match=r"of each one's ten nearest are found again; required is a recall of 0\.95"
    ):
        choose(precision="bfloat16")
    choice = choose(precision="bfloat16", accept_drift=True)
    assert choice.engine.name == "openvino"
    assert choice.spec.drift["recall_at_10"] < 0.95


def test_first_layers_in_float32(machine):
    """A lower precision that drifts is tried with its first layers in float32, and that choice is stored."""
    machine(ALL_DRIFT | {("openvino", "bfloat16", "first layers"): 0.001})
    choice = choose(precision="bfloat16")
    assert (choice.engine.name, choice.tuning["has_float32_stem"]) == ("openvino", True)
    assert choice.tuning["tried"]["openvino, batches of 4, 2 streams, first layers in float32"] > 0
    assert choice.spec.drift["recall_at_10"] >= 0.95


def test_first_layers_in_float32_again(machine):
    """The next run keeps the first layers in float32."""
    machine(ALL_DRIFT | {("openvino", "bfloat16", "first layers"): 0.001})
    first = choose(precision="bfloat16")
    second = choose(1, precision="bfloat16", stored=first.tuning, drift=first.spec.drift)
    assert np.array_equal(second.engine.infer(PIXELS), first.engine.infer(PIXELS))
    assert second.tuning == first.tuning


def test_precision_in_name_only(machine):
    """A lower precision with bit-identical results is refused: it has no effect here."""
    machine()
    with pytest.raises(ModelError, match=r"runs this backbone in float32 here: bfloat16 changes nothing"):
        choose(precision="bfloat16", accept_drift=True)


def test_reference_is_run_once(machine):
    """The reference runs once for all comparisons."""
    record = machine(ALL_DRIFT)
    with pytest.raises(MismatchError):
        choose(precision="bfloat16")
    assert record.made.count(("tensorflow", "float32", None, None)) == 1


def test_no_such_precision(machine):
    """A precision that no engine supports is refused before anything is tried."""
    record = machine()
    with pytest.raises(InputError, match="`precision='float16'` is not available here"):
        choose(precision="float16")
    assert record.tried == 0


def test_next_run(machine):
    """The next run reuses the stored choice without trials and checks, however many images there are."""
    record = machine()
    first = choose()
    record.made.clear()
    second = choose(1, stored=first.tuning, drift=first.spec.drift)
    assert (record.tried, record.made) == (1, [("openvino", "float32", 4, 2)])
    assert (second.engine.name, second.batch_size, second.workers) == ("openvino", first.batch_size, first.workers)
    assert (second.spec, second.tuning) == (first.spec, first.tuning)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"engine": "abacus"},
        {"batch_size": "8"},
        {"workers": 0},
        {"decode_batch": None},
        {"tried_for": "many"},
        {"images_per_second": "fast"},
        {"images_per_second": 0},
        {"streams": "two"},
        {"has_float32_stem": 1},
    ],
)
def test_spoilt_tuning(spoilt, machine):
    """A stored choice that is invalid, from another machine or edited by hand, is made anew."""
    record = machine()
    tuning = choose().tuning
    assert choose(stored=tuning | spoilt).tuning == tuning
    assert record.tried == 2


def test_accepted_once(machine):
    """A drift that was accepted for one run is refused in the next unless it is accepted again."""
    machine(ALL_DRIFT)
    first = choose(precision="bfloat16", accept_drift=True)
    rerun = {"precision": "bfloat16", "stored": first.tuning, "drift": first.spec.drift}
    assert choose(**rerun, accept_drift=True).engine.name == "openvino"
    with pytest.raises(MismatchError, match="`accept_drift=True`"):
        choose(**rerun)


def test_few_images_keep_the_choice(machine):
    """A run of a few images under other conditions keeps the stored choice for later runs."""
    machine()
    stored = choose().tuning
    assert choose(24, engine="tensorflow", stored=stored).tuning == stored


@pytest.mark.parametrize("other", [{"batch_size": 9}, {"engine": "openvino"}, {"cores": 3}])
def test_other_conditions(other, machine):
    """Other options or another machine repeat the trials."""
    record = machine()
    stored = choose().tuning
    machine(cores=other.pop("cores", 2))
    choose(stored=stored, **other)
    assert record.tried == 2


def test_explicit_batch_size(machine):
    """An explicit batch size is that of the pipeline as well."""
    machine()
    assert choose(batch_size=9).batch_size == 9


@pytest.mark.parametrize(
    ("decode_s", "cores", "workers"),
    [(0.001, 2, 1), (1.0, 2, 2), (0.001, 64, 1), (0.5, 64, 52), (10.0, 64, 64)],
)
def test_workers(decode_s, cores, workers, machine):
    """Decoding gets its share of the cores, with half of it to spare."""
    machine(cores=cores)
    share = decode_s / (decode_s + cores / RATES["openvino"])
    assert choose(decode_s=decode_s).workers == workers == min(cores, int(np.ceil(1.5 * cores * share)))


@pytest.mark.parametrize(("decode_s", "batch"), [(0.0001, 32), (0.002, 32), (0.006, 16), (0.03, 8), (10.0, 8)])
def test_decode_batch(decode_s, batch, machine):
    """One call decodes as many images as take a tenth of a second, in multiples of 8, at most 32."""
    machine()
    choice = choose(decode_s=decode_s)
    assert (choice.batch_size, choice.tuning["decode_batch"]) == (batch, batch)


@pytest.mark.parametrize(("n", "cores", "batch"), [(3, 2, 8), (48, 2, 8), (200, 2, 24), (255, 1, 32), (255, 16, 8)])
def test_decode_batch_of_few(n, cores, batch, machine):
    """A small run is cut so that all cores have work to the end."""
    machine(cores=cores)
    assert choose(n).batch_size == batch


def test_explicit_workers(machine):
    """An explicit number of workers is used."""
    machine()
    assert choose(workers=5).workers == 5


@pytest.mark.parametrize(("options", "workers"), [({}, 12), ({"workers": 9}, 9)])
def test_processes_decode(options, workers, machine):
    """Where threads would wait for each other, as many processes decode; the next run knows without measuring."""
    record = machine(cores=12, has_processes=True)
    choice = choose(decode_s=1.0, **options)
    stored = choice.tuning | {"tried_for": 10_000}
    second = choose(10_000, decode_s=1.0, stored=stored, **options)
    assert (choice.processes, second.processes, record.measured) == (workers, workers, [workers])
    assert choice.tuning["decode_processes"] is True
    assert choose(10_000, stored=stored, workers=4).processes == 0
    assert choose(stored=stored, **options).processes == 0  # too few images to start them for


@pytest.mark.parametrize(("n_images", "n_tried"), [(1024, 1), (1025, 2)])
def test_a_run_that_is_much_larger_chooses_anew(n_images, n_tried, machine):
    """The choice of a run of 256 images is not that of one of more than four times as many."""
    record = machine()
    choose(n_images, stored=choose().tuning)
    assert record.tried == n_tried


def test_threads_decode(machine):
    """Without need, threads decode; a small run does not even measure."""
    record = machine()
    assert (choose().processes, choose(24).processes, record.measured) == (0, 0, [1])


def test_reference_keeps_the_drift(machine):
    """The drift of stored rows stays in the spec when the reference adds more."""
    machine()
    drift = {"engine": "openvino", "images": 32}
    assert choose(24, drift=drift).spec.drift == drift


@pytest.mark.parametrize(("precision", "used"), [("bfloat16", "bfloat16"), ("float16", "float32")])
def test_a_few_images(precision, used, machine):
    """A query runs in its table's precision if this machine supports it, else in float32, which is more accurate."""
    record = machine()
    default_engine(Backbone(dataclasses.replace(SPEC, precision=precision), None))
    assert record.made == [("tensorflow", used, None, None)]


def test_documented(machine):
    """features.json has exactly the fields of a choice that docs/format.md documents."""
    machine()
    choice, kept = choose(stored={"int8": {}}), choose(kept=KEPT | {"synthetic": True})
    text = (Path(__file__).parents[3] / "docs" / "format.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `((?:backbone\.drift|tuning)\.\w+)`", text, re.MULTILINE))
    drift = {f"backbone.drift.{name}" for name in (*choice.spec.drift, *kept.spec.drift)}
    assert documented == drift | {f"tuning.{name}" for name in choice.tuning}
