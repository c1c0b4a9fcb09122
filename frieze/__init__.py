"""Frieze: image collections into stored embeddings, searches and trained heads.

Every command of `frieze` is a function here with the same options as keyword-only parameters.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from classifiers import open_head
    from embedder import HubLayer
    from features import InputError, open_features
    from frieze.api import (
        backbones,
        duplicates,
        embed,
        import_vectors,
        index,
        info,
        search,
        verify,
    )
    from frieze.auditing import audit
    from frieze.exporting import export
    from frieze.finetuning import finetune
    from frieze.heads import compare, evaluate, predict, train
    from frieze.mapping import map  # noqa: A004  the command's own name
    from frieze.report import write_report
    from frieze.serving import serve
    from index import open_index

__all__ = [
    "HubLayer",
    "InputError",
    "audit",
    "backbones",
    "compare",
    "duplicates",
    "embed",
    "evaluate",
    "export",
    "finetune",
    "import_vectors",
    "index",
    "info",
    "map",
    "open_features",
    "open_head",
    "open_index",
    "predict",
    "search",
    "serve",
    "train",
    "verify",
    "write_report",
]

_HOMES = {
    "HubLayer": "embedder",
    "InputError": "features",
    **dict.fromkeys(("compare", "evaluate", "predict", "train"), "frieze.heads"),
    "audit": "frieze.auditing",
    "export": "frieze.exporting",
    "finetune": "frieze.finetuning",
    "serve": "frieze.serving",
    "map": "frieze.mapping",
    "open_features": "features",
    "open_head": "classifiers",
    "open_index": "index",
    "write_report": "frieze.report",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    # Lazy, so that `frieze --help` does not wait for NumPy.
    if name not in __all__:
        raise AttributeError(f"module 'frieze' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "frieze.api")), name)
