"""Small classifiers on stored features: their kinds, training to protocol, comparison, evaluation, prediction."""

from classifiers.again import read_request
from classifiers.audit import audit_labels, check_audit
from classifiers.comparison import compare_heads
from classifiers.course import SCHEDULES, Course
from classifiers.evaluation import evaluate_head
from classifiers.finetuning import CHECKPOINT, Means, finetune_head
from classifiers.fitting import Recipe
from classifiers.heads import HEADS, name_head
from classifiers.neighbourhood import N_NEIGHBOURS, Neighbourhood
from classifiers.outputs import check_head, check_predictions
from classifiers.parting import Parting
from classifiers.pooled_features import PooledFeatures
from classifiers.prediction import predict_features
from classifiers.solver import fit_linear, fit_path
from classifiers.start import check_images, check_memory
from classifiers.storage import Head, open_head, read_document, read_labels_from, read_report, read_split
from classifiers.terms import Network
from classifiers.training import train_head

__all__ = [
    "CHECKPOINT",
    "HEADS",
    "N_NEIGHBOURS",
    "SCHEDULES",
    "Course",
    "Head",
    "Means",
    "Neighbourhood",
    "Network",
    "Parting",
    "PooledFeatures",
    "Recipe",
    "audit_labels",
    "check_audit",
    "check_head",
    "check_images",
    "check_memory",
    "check_predictions",
    "compare_heads",
    "evaluate_head",
    "finetune_head",
    "fit_linear",
    "fit_path",
    "name_head",
    "open_head",
    "predict_features",
    "read_document",
    "read_labels_from",
    "read_report",
    "read_request",
    "read_split",
    "train_head",
]
