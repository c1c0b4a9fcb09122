"""What a head says about each row of a table, as the tables that are written."""

from collections.abc import Generator

import pyarrow as pa

from frieze.classifiers.storage.head_folder import Head
from frieze.classifiers.storage.output_checks import ABSTAINED, PREDICTION_COLUMNS, SCORE
from frieze.core import Floats, Strings
from frieze.features import Features


def answer_schema(head: Head, *, scores: bool) -> pa.Schema:
    """Give the columns: id, prediction, probability; `abstained` where the head abstains, and scores if wanted."""
    fields = list(zip(PREDICTION_COLUMNS, (pa.string(), pa.string(), pa.float32()), strict=True))
    fields += [] if head.threshold is None else [(ABSTAINED, pa.bool_())]
    fields += [(f"{SCORE}{name}", pa.float32()) for name in head.classes] if scores else []
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])


def answers(head: Head, features: Features, *, scores: bool) -> Generator[pa.Table]:
    """Give them batch by batch, in the table's order."""
    schema = answer_schema(head, scores=scores)
    for ids, embeddings in features.batches():
        yield _answer(ids, head.probabilities(embeddings), head, schema)


def _answer(ids: Strings, probabilities: Floats, head: Head, schema: pa.Schema) -> pa.Table:
    highest = probabilities.max(axis=1)
    every = [ids, head.classes[probabilities.argmax(axis=1)], highest]
    every += [] if head.threshold is None else [highest < head.threshold]
    arrays = [pa.array(values, field.type) for values, field in zip([*every, *probabilities.T], schema, strict=False)]
    return pa.Table.from_arrays(arrays, schema=schema)
