"""Heads (classifiers on stored features): kinds, training, evaluation, prediction, label audit, fine-tuning."""

import importlib
from typing import TYPE_CHECKING, Any

from frieze.classifiers.config import SCHEDULES, FinetuneConfig, Network, StartWeights
from frieze.classifiers.conformal import prediction_sets
from frieze.classifiers.data.embedding_rows import PooledFeatures
from frieze.classifiers.data.source_groups import CUT_FROM, count_divided, cut_columns, join_groups, number_wholes
from frieze.classifiers.data.splits import SplitConfig
from frieze.classifiers.evaluation.compare import compare_heads
from frieze.classifiers.evaluation.compare_backbones import score_labelled, score_unlabelled
from frieze.classifiers.evaluation.drift import measure_drift
from frieze.classifiers.evaluation.evaluate import evaluate_head
from frieze.classifiers.evaluation.predict import (
    ExtraColumns,
    check_predictions,
    predict_features,
    prediction_columns,
)
from frieze.classifiers.evaluation.retrieval import evaluate_retrieval
from frieze.classifiers.familiarity import UNFAMILIAR
from frieze.classifiers.finetuning.devices import Devices
from frieze.classifiers.finetuning.finetune import CHECKPOINT, FinetuneContext, finetune_head
from frieze.classifiers.finetuning.warm_start import check_images, check_memory
from frieze.classifiers.intervals import accuracy_interval, grouped_accuracy_interval
from frieze.classifiers.label_audit.audit import audit_labels, check_audit
from frieze.classifiers.label_audit.knn_votes import N_NEIGHBOURS, Neighbourhood
from frieze.classifiers.label_audit.relabelling import OutOfFoldAccuracy, Relabelling, measure_relabelling
from frieze.classifiers.multilabel.evaluate import evaluate_multilabel
from frieze.classifiers.multilabel.predict import predict_multilabel
from frieze.classifiers.multilabel.stored_head import MultilabelHead, is_multilabel, open_any_head, open_multilabel_head
from frieze.classifiers.multilabel.train import train_multilabel
from frieze.classifiers.registry import HEADS, name_head
from frieze.classifiers.solver.linear import fit_linear, fit_path
from frieze.classifiers.storage.head_folder import (
    Head,
    check_backbone,
    check_head,
    describe_staleness,
    open_head,
    read_report,
)
from frieze.classifiers.storage.head_json import read_head_json, read_labels_from, read_train_options
from frieze.classifiers.storage.split_file import read_split, read_split_ids
from frieze.classifiers.teaching.curve import CurvePoint, learning_curve
from frieze.classifiers.teaching.questions import HELD_OUT_SHARE, Questions, choose_questions
from frieze.classifiers.teaching.teach import SURE, Answers, Taught, teach
from frieze.classifiers.teaching.unit_vectors import UnitVectors
from frieze.classifiers.training.fit import HeadConfig, fit_head
from frieze.classifiers.training.notes import notes_on_labels
from frieze.classifiers.training.start_weights import open_start
from frieze.classifiers.training.train import train_head
from frieze.classifiers.training.zero_shot import ClassVectors, check_classes, make_zero_shot_head

if TYPE_CHECKING:
    from frieze.classifiers.estimator import HeadClassifier

__all__ = [
    "CHECKPOINT",
    "CUT_FROM",
    "HEADS",
    "HELD_OUT_SHARE",
    "N_NEIGHBOURS",
    "SCHEDULES",
    "SURE",
    "UNFAMILIAR",
    "Answers",
    "ClassVectors",
    "CurvePoint",
    "Devices",
    "ExtraColumns",
    "FinetuneConfig",
    "FinetuneContext",
    "Head",
    "HeadClassifier",
    "HeadConfig",
    "MultilabelHead",
    "Neighbourhood",
    "Network",
    "OutOfFoldAccuracy",
    "PooledFeatures",
    "Questions",
    "Relabelling",
    "SplitConfig",
    "StartWeights",
    "Taught",
    "UnitVectors",
    "accuracy_interval",
    "audit_labels",
    "check_audit",
    "check_backbone",
    "check_classes",
    "check_head",
    "check_images",
    "check_memory",
    "check_predictions",
    "choose_questions",
    "compare_heads",
    "count_divided",
    "cut_columns",
    "describe_staleness",
    "evaluate_head",
    "evaluate_multilabel",
    "evaluate_retrieval",
    "finetune_head",
    "fit_head",
    "fit_linear",
    "fit_path",
    "grouped_accuracy_interval",
    "is_multilabel",
    "join_groups",
    "learning_curve",
    "make_zero_shot_head",
    "measure_drift",
    "measure_relabelling",
    "name_head",
    "notes_on_labels",
    "number_wholes",
    "open_any_head",
    "open_head",
    "open_multilabel_head",
    "open_start",
    "predict_features",
    "predict_multilabel",
    "prediction_columns",
    "prediction_sets",
    "read_head_json",
    "read_labels_from",
    "read_report",
    "read_split",
    "read_split_ids",
    "read_train_options",
    "score_labelled",
    "score_unlabelled",
    "teach",
    "train_head",
    "train_multilabel",
]


def __getattr__(name: str) -> Any:
    # A scikit-learn estimator: imported on first use, for scikit-learn loads slowly.
    if name != "HeadClassifier":
        raise AttributeError(f"module 'frieze.classifiers' has no attribute {name!r}")
    return importlib.import_module("frieze.classifiers.estimator").HeadClassifier
