"""Frieze: image collections into stored embeddings, searches and trained heads.

Every command of `frieze` is a function here with the same options as keyword-only parameters.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frieze.api.auditing import audit
    from frieze.api.exporting import export
    from frieze.api.finetuning import finetune
    from frieze.api.heads import compare, evaluate, train
    from frieze.api.labelling import label
    from frieze.api.looking import look
    from frieze.api.mapping import map  # noqa: A004  the command's own name
    from frieze.api.neighbours import neighbours
    from frieze.api.predicting import drift, predict
    from frieze.api.searching import duplicates, index, search
    from frieze.api.serving import serve
    from frieze.api.tables import backbones, cache, embed, import_vectors, info, verify
    from frieze.classifiers import HeadClassifier, open_head, open_multilabel_head
    from frieze.core import InputError
    from frieze.embedder import HubLayer, ImageEmbedder, as_backbone
    from frieze.features import open_features
    from frieze.indexing import open_index
    from frieze.reports.html import write_report

__all__ = [
    "HeadClassifier",
    "HubLayer",
    "ImageEmbedder",
    "InputError",
    "as_backbone",
    "audit",
    "backbones",
    "cache",
    "compare",
    "drift",
    "duplicates",
    "embed",
    "evaluate",
    "export",
    "finetune",
    "import_vectors",
    "index",
    "info",
    "label",
    "look",
    "map",
    "neighbours",
    "open_features",
    "open_head",
    "open_index",
    "open_multilabel_head",
    "predict",
    "search",
    "serve",
    "train",
    "verify",
    "write_report",
]

_HOMES = {
    **dict.fromkeys(("HubLayer", "ImageEmbedder", "as_backbone"), "frieze.embedder"),
    "InputError": "frieze.core",
    **dict.fromkeys(("compare", "evaluate", "train"), "frieze.api.heads"),
    **dict.fromkeys(("drift", "predict"), "frieze.api.predicting"),
    **dict.fromkeys(("duplicates", "index", "search"), "frieze.api.searching"),
    "audit": "frieze.api.auditing",
    "export": "frieze.api.exporting",
    "finetune": "frieze.api.finetuning",
    "serve": "frieze.api.serving",
    "label": "frieze.api.labelling",
    "look": "frieze.api.looking",
    "map": "frieze.api.mapping",
    "neighbours": "frieze.api.neighbours",
    "open_features": "frieze.features",
    **dict.fromkeys(("HeadClassifier", "open_head", "open_multilabel_head"), "frieze.classifiers"),
    "open_index": "frieze.indexing",
    "write_report": "frieze.reports.html",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    # Lazy, so that `frieze --help` does not wait for NumPy.
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("frieze")
    if name not in __all__:
        raise AttributeError(f"module 'frieze' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "frieze.api.tables")), name)
