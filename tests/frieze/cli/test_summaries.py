"""What commands print for people: the figures in the lines are those of the document."""

import pytest

from frieze.classifiers.label_audit.findings import KINDS
from frieze.cli.summaries import summarize

EMBEDDED = {
    "broken_parts": [],
    "rows": 1200,
    "out": "t.features",
    "embedded": 1190,
    "unchanged": 0,
    "renamed": 0,
    "relabelled": 0,
    "removed": 0,
    "left": 0,
    "duplicates": 10,
    "backbone": "mini",
    "engine": "openvino",
    "precision": "float32",
    "dim": 256,
    "images_per_second": 345.6,
    "seconds": 3.4,
    "startup_seconds": 1.2,
    "advice": "Decoding took 60%.",
}
TRAINED = {
    "head": "linear",
    "classes": ["a", "b"],
    "n_train": 80,
    "n_test": 20,
    "setting": {"C": 10},
    "accuracy": 0.85,
    "confidence_interval": [0.64, 0.95],
    "baseline_accuracy": 0.5,
    "macro_f1": 0.84,
    "expected_calibration_error": 0.031,
    "report": "h/report.html",
}


def test_a_first_run():
    """Of a new table: images, numbers an image, rate and time, and what bounds the run."""
    assert summarize("embed", EMBEDDED) == [
        "1,200 images in t.features: 10 with the bytes of another.",
        "256 numbers an image by mini (openvino, float32), 346 images/s.",
        "3.4 s after 1.2 s to start. Decoding took 60%.",
    ]


def test_a_rerun():
    """Of a table that existed: what changed, and nothing of speed where nothing was embedded."""
    changes = {
        "embedded": 0,
        "duplicates": 0,
        "unchanged": 1190,
        "renamed": 3,
        "relabelled": 2,
        "removed": 7,
        "left": 5,
    }
    (line,) = summarize("embed", EMBEDDED | changes)
    assert line == (
        "1,200 images in t.features: 1,190 unchanged, 3 renamed, 2 relabelled, 7 removed, 5 left for the next run."
    )


def test_a_head_of_groups():
    """An interval that counts groups says so, and how many there are."""
    over = {"interval_over": "groups", "n_test_groups": 4}
    line = "Accuracy 0.850 on 20 held-out images of 4 groups (95 % interval over groups 0.640 to 0.950)."
    assert summarize("train", TRAINED | over)[1] == line


def test_heads_that_may_be_as_good():
    """Below a comparison of heads stand those whose difference to the first may be none."""
    over = dict.fromkeys(("test_copies", "n_without_part", "n_left_out"), 0) | {"interval_over": "images"}
    highs = {"linear": None, "svm": [-0.1, 0.01], "knn": [-0.3, -0.1]}
    rows = [{"head": name, "features": "a", "difference_interval": interval} for name, interval in highs.items()]
    assert summarize("compare", {"classes": ["a", "b"], "n_train": 80, "n_test": 20, "rows": rows} | over) == [
        "2 classes, trained on 80 images and scored on 20 held-out ones, the same for all.",
        "May be as good as the first by the 95 % interval of the difference: svm.",
    ]


def test_a_trained_head():
    """The accuracy comes with its interval and the baseline."""
    assert summarize("train", TRAINED) == [
        "linear head for 2 classes, trained on 80 images, C = 10.",
        "Accuracy 0.850 on 20 held-out images (95 % interval 0.640 to 0.950).",
        "Always the most frequent class: 0.500. Macro F1 0.840, expected calibration error 0.031.",
        "Report: h/report.html",
    ]


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        (
            "shots",
            {"draws": 10, "per_class": 5, "mean_accuracy": 0.7, "standard_deviation": 0.03},
            "10 draws of 5 images a class: mean accuracy 0.700, standard deviation 0.030.",
        ),
        ("naive_accuracy", 0.99, "With a split that does not mind the groups it would be 0.990."),
        (
            "abstain",
            {"coverage": 0.8, "precision_on_test": 0.975},
            "With --abstain it predicts 80 % of the held-out images, 97.5 % of them right.",
        ),
        (
            "abstain",
            {"coverage": 0.0, "precision_on_test": None},
            "With --abstain it predicts 0 % of the held-out images.",
        ),
    ],
)
def test_more_of_a_trained_head(field, value, line):
    """What an option measured has a line of its own."""
    assert line in summarize("train", TRAINED | {field: value})


def test_an_index():
    """Kind, size, recall, speed, why, and what changed since the last time."""
    document = {
        "rows": 1200,
        "dim": 256,
        "index": "t.index",
        "kind": "pq",
        "bytes": 51_200_000,
        "rebuilt": True,
        "changes": {"added": 5, "removed": 0, "replaced": 1},
        "recall_at_10": 0.9612,
        "queries_per_second": 12345.6,
        "ms_per_query": 0.234,
        "why": "pq is the fastest.",
        "build_seconds": 130,
    }
    assert summarize("index", document) == [
        "1,200 x 256 vectors in t.index (pq, 52MB).",
        "Since the last time: 5 added, 1 replaced.",
        "It finds 0.961 of the 10 nearest, 12,346 queries/s, or one in 0.23 ms.",
        "pq is the fastest. Built in 2 min.",
    ]
    assert summarize("index", document | {"rebuilt": False})[0].endswith("(pq, 52MB), up to date.")


def test_copies():
    """Groups, what could go, and what only looks alike."""
    document = {"groups": [1, 2], "n_exact": 1, "rows": 300, "n_duplicates": 3, "n_look_alikes": 5}
    assert summarize("duplicates", document) == [
        "2 groups of copies, 1 of them of equal files, among 300 images: 3 images could go.",
        "5 images only look alike, and are not moved.",
    ]


def test_an_audit():
    """Counts of findings that there are, and how far the labels agree with heads that never saw the images."""
    counts = {"label": 3, "duplicate_labels": 0, "outlier": 1}
    document = {"rows": 300, "n_unlabelled": 2, "counts": counts, "accuracy": 0.9, "n_judged": 298}
    assert summarize("audit", document | {"out": "f.csv", "seconds": 1.5}) == [
        "Of 300 images (2 without a label): 3 labels likely wrong, 1 outliers.",
        "Heads that never saw them agree with 0.900 of the labels of 298 images.",
        "All findings: f.csv (1.5 s).",
    ]


def test_a_comparison():
    """The images of a comparison of heads; of backbones the advice."""
    document = {"classes": ["a", "b"], "n_train": 80, "n_test": 20, "test_copies": 0, "n_without_part": 1, "rows": []}
    assert summarize("compare", document | {"n_left_out": 2}) == [
        "2 classes, trained on 80 images and scored on 20 held-out ones, the same for all.",
        "3 images left out: see --verbose.",
    ]
    of_backbones = {"advice": "Use x.", "sampled": 50, "images": 300, "failed": 1}
    assert summarize("compare", of_backbones) == ["Use x.", "On 50 of 300 images; 1 can't be used."]


def test_a_map_and_an_export():
    """Where it is, how large, and how exact."""
    drawn = {"points": 50, "rows": 60, "out": "m.html", "kept": 0.5491}
    assert summarize("map", drawn) == ["50 of 60 images in m.html, with 54.9 % of the variance."]
    written = {"backbone": "mini", "out": "m", "bytes": 51_200_000, "checked": 16}
    assert summarize("export", written | {"head": "svm", "largest_difference": 1.2e-7}) == [
        "svm head on mini in m (52MB).",
        "Checked against the original on 16 images: no probability differs by more than 1.2e-07.",
    ]
    assert summarize("export", written | {"least_cosine": 1.0})[1].endswith("images: least cosine 1.000000.")


def test_a_broken_table():
    """A folder with problems is broken."""
    document = {"path": "t.features", "kind": "features", "ok": False, "rows": 5}
    assert summarize("verify", document) == ["t.features (features, 5 rows): broken."]


def test_a_head_of_class_names():
    """Of a head of class names: what calibrated it and the figures, or neither where nothing was measured."""
    measured = TRAINED | {"is_calibrated": True, "out": "h"}
    first, *figures = summarize("label", measured)
    assert first == "linear head for 2 classes in words in h, calibrated on 80 images."
    assert figures == summarize("train", TRAINED)[1:]
    document = measured | {"is_calibrated": False, "accuracy": None}
    assert summarize("label", document) == ["linear head for 2 classes in words in h."]
    stored = {"kind": "head", "path": "h", "head": "linear", "features": {"path": "t"}, "classes": ["a", "b"]}
    lines = summarize("info", stored | {"split": {"n_test": 0}, "scores": {"accuracy": None}})
    assert lines[-1] == "Made of class names in words, and not measured."


def test_a_check():
    """A sample of which images were replaced, or can't be read again, says so."""
    document = {"path": "t", "kind": "features", "rows": 9, "ok": True, "sampled": 0, "changed": ["a"]}
    assert summarize("verify", document | {"unreadable": ["b", "c"]}) == [
        "t (features, 9 rows): whole.",
        "1 image replaced since: a.",
        "2 images that can't be read again: b, c.",
    ]


DRIFT = {
    "rows": 300,
    "n_held_out": 40,
    "familiarity_test": {"is_different": True, "direction": "lower"},
    "class_test": {"is_different": False},
    "n_unfamiliar": 90,
    "unfamiliar_share": 0.3,
    "classes": [{"class": "bee", "share": 0.2, "held_out_share": 0.25}],
    "least_familiar": [{"id": "new/a.jpg"}, {"id": "new/b.jpg"}],
}


def test_drift_says_which_way():
    """Drift is told with its direction, the share of unfamiliar images, the classes, and the images to look at."""
    assert summarize("drift", DRIFT) == [
        "The images are less like the training images than held-out ones are: 300 images against 40 held-out ones.",
        "Less familiar than 95 % of the held-out images: 90, 30 % (5 % without drift).",
        "Least familiar: new/a.jpg, new/b.jpg.",
    ]
    of_classes = {"familiarity_test": {"is_different": False, "direction": "higher"}}
    assert summarize("drift", DRIFT | of_classes | {"class_test": {"is_different": True}})[2] == (
        "The class that differs most is 'bee': 25 % of the held-out images, 20 % now."
    )
    assert summarize("drift", DRIFT | of_classes)[0] == "No drift found: 300 images against 40 held-out ones."


def test_prediction_sets_say_what_they_hold():
    """Sets come with their size, the coverage of held-out images, and the classes without a threshold of their own."""
    sets = {"mean_size": 1.5, "n_single": 6, "n_held_out": 40, "coverage": 0.95, "pooled_classes": ["cow"]}
    assert summarize("predict", {"rows": 10, "out": "p.csv", "prediction_sets": sets}) == [
        "10 predictions in p.csv.",
        "Sets of 1.50 classes on average, 6 of one; they hold the label of 95 % of 40 held-out images.",
        "Too few held-out images for a threshold of their own, that of all is used: 'cow'.",
    ]


def test_each_kind_of_finding_has_words():
    """An audit's line names every kind of finding that the file may have."""
    document = {"counts": dict.fromkeys(KINDS, 3), "rows": 9, "n_unlabelled": 0, "accuracy": None, "map": 0.75}
    first, second, *_ = summarize("audit", document | {"n_judged": 9, "out": "f.csv", "seconds": 1.5})
    assert first.count("3 ") == len(KINDS)
    assert second == "mAP 0.750 of heads that never saw them, on 9 images."
