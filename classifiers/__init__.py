"""Small classifiers on stored features: linear, svm and keras heads; training, evaluation, storage, prediction."""

from classifiers.evaluation import evaluate_head
from classifiers.heads import HEADS
from classifiers.outputs import check_predictions
from classifiers.prediction import predict_features
from classifiers.solver import fit_linear, fit_path
from classifiers.storage import Head, open_head
from classifiers.training import train_head

__all__ = [
    "HEADS",
    "Head",
    "check_predictions",
    "evaluate_head",
    "fit_linear",
    "fit_path",
    "open_head",
    "predict_features",
    "train_head",
]
