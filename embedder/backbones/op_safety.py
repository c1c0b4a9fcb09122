"""Op safety of SavedModels: graphs with operations that do more than compute are rejected before any of them runs."""

import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from frieze.core import ModelError, import_tensorflow

# From the registry of TensorFlow 2.21 (1,910 operations): all names, and all operations with a string among their
# inputs or attributes, were reviewed. A test searches each new TensorFlow for operations with such names.
_UNSAFE_OPERATIONS = {
    "calls Python": "EagerPyFunc PyFunc PyFuncStateless",
    "reads files": """
        CSVDataset DTensorRestore DecodeProto EncodeProto FixedLengthRecordDataset FixedLengthRecordReader
        FixedUnigramCandidateSampler GenerateVocabRemapping ImmutableConst InitializeTableFromTextFile LMDBDataset
        LMDBReader ListSnapshotChunksDataset LoadAndRemapMatrix LoadDataset MatchingFiles MatchingFilesDataset ReadFile
        RecordInput Skipgram SnapshotChunkDataset SnapshotDatasetReader SnapshotNestedDatasetReader SqlDataset
        TFRecordDataset TFRecordReader TextLineDataset TextLineReader WholeFileReader""",
    "writes files": """
        CacheDataset CalibrationStatisticsSaver CloseSummaryWriter CreateSummaryDbWriter CreateSummaryFileWriter
        DatasetToTFRecord DebugIdentity DebugNanCount DebugNumericSummary DistributedSave DumpTensor FlushSummaryWriter
        ImportEvent SaveDataset SnapshotDataset StatsAggregatorSetSummaryWriter WriteAudioSummary WriteFile
        WriteGraphSummary WriteHistogramSummary WriteImageSummary WriteRawProtoSummary WriteScalarSummary
        WriteSummary""",
    "opens connections": """
        DataServiceDataset FileSystemSetConfiguration RegisterDataset RpcCall RpcCheckStatus RpcClient RpcGetValue
        RpcServer RpcServerRegister RpcServerStart""",
    "runs a program that can't be looked into": """
        DatasetFromGraph DeserializeIterator MlirPassthroughOp XlaCallModule XlaCustomCall _TPUCompileMlir
        _XlaHostComputeMlir""",
    "ends the process": "Abort",
}
_SAVER = "reads or writes checkpoints outside the saver"
_TABLE = {name: effect for effect, names in _UNSAFE_OPERATIONS.items() for name in names.split()}
_TABLE |= dict.fromkeys(("MergeV2Checkpoints", "Restore", "RestoreSlice", "Save", "SaveSlices"), _SAVER)

_VERSION = re.compile(r"^Experimental|V\d+$")
_MAIN = "the main graph"
_SHOWN = 4
_NAME_LENGTH = 100
HOW_TO_TRUST = "add `trust_backbone=True` to frieze embed or finetune, the commands that run such a backbone"


class _Finding(NamedTuple):
    """An operation, its effect, and the function that contains it."""

    operation: str
    effect: str
    function: str

    def __str__(self) -> str:
        where = self.function if self.function == _MAIN else repr(self.function[:_NAME_LENGTH])  # named by the model
        return f"{self.operation} in {where} {self.effect}"


def check_only_computes(folder: Path, *, name: str, how: str = HOW_TO_TRUST) -> None:
    """Reject a SavedModel whose graph reads or writes files, calls Python or the like anywhere.

    Nothing of it runs. The checkpoint functions and nodes of the saver, which every SavedModel has, are accepted if
    only the saver reaches them.

    Args:
        folder: Folder of the SavedModel.
        name: Its name, for the message.
        how: How to use it anyway, for the hint.

    Raises:
        ModelError: The graph does more than compute.
        OSError: The file can't be parsed.
    """
    # TensorFlow's own parser, so that what is checked is what is loaded.
    graphs = import_tensorflow().__internal__.saved_model.parse_saved_model(str(folder)).meta_graphs
    is_tf2 = len(graphs) == 1 and graphs[0].HasField("object_graph_def")  # as in tf.saved_model.load
    find_checkpoint = _checkpoint_in_tf2 if is_tf2 else _checkpoint_in_tf1
    findings = list(
        dict.fromkeys(one for graph in graphs for one in (*_unsafe_operations(graph), *find_checkpoint(graph)))
    )
    if findings:
        shown = ", ".join(map(str, findings[:_SHOWN]))
        more = f", and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else ""
        raise ModelError(
            f"{name} does more than compute: {shown}{more}.",
            hint=f"Use it only if you know who made it: {how}.",
        )


@functools.cache
def _effect(operation: str) -> str | None:
    """Return the effect of an operation in any version; None for pure computation."""
    return _TABLE.get(_VERSION.sub("", operation))


def _unsafe_operations(meta_graph: Any) -> Iterator[_Finding]:
    """Find unsafe operations in the main graph and in every function, reachable or not."""
    graph = meta_graph.graph_def
    functions = ((function.signature.name, function.node_def) for function in graph.library.function)
    for where, nodes in ((_MAIN, graph.node), *functions):
        for node in nodes:
            effect = "writes files" if _prints_to_file(node) else _effect(node.op)
            if effect and effect != _SAVER:
                yield _Finding(node.op, effect, where)


def _prints_to_file(node: Any) -> bool:
    if node.op != "PrintV2":
        return False
    stream = node.attr.get("output_stream")  # a placeholder is filled in by the caller of the function
    return stream is not None and (bool(stream.placeholder) or stream.s.startswith(b"file:"))


def _checkpoint_in_tf2(meta_graph: Any) -> Iterator[_Finding]:
    """Find checkpoint operations in functions that an object or another function can call.

    The main graph, which calls the saver's functions, never runs in TF2: calls go by the object graph.
    """
    library = meta_graph.graph_def.library
    savers = {one.signature.name: one for one in library.function if _checkpoint_operations(one.node_def)}
    others = [one for one in library.function if one.signature.name not in savers]
    callers = _texts([meta_graph.object_graph_def, *library.gradient, *library.registered_gradients, *others])
    for name, function in savers.items():
        if _is_named(name, callers) or "api_implements" in function.attr:  # lets the optimizer swap functions
            yield from (_Finding(op, _SAVER, name) for op in _checkpoint_operations(function.node_def))


def _checkpoint_in_tf1(meta_graph: Any) -> Iterator[_Finding]:
    """Find checkpoint operations that a signature or an initializer reaches, or that restoring runs.

    TensorFlow runs the nodes named by signatures, by collections and by the saver's `restore_op_name`. The last may
    only read the file that TensorFlow passes to it.
    """
    graph, saver = meta_graph.graph_def, meta_graph.saver_def
    for function in graph.library.function:
        yield from (_Finding(op, _SAVER, function.signature.name) for op in _checkpoint_operations(function.node_def))
    inputs = {node.name: [_node_of(tensor) for tensor in node.input] for node in graph.node}
    checkpoint = [node for node in graph.node if _effect(node.op) == _SAVER]
    dependent = _reached([node.name for node in checkpoint], _reversed(inputs))
    collections = [one for name, one in meta_graph.collection_def.items() if name != "savers"]
    texts = _texts([*meta_graph.signature_def.values(), *collections])
    run = _reached([name for name in dependent if _is_named(name, texts)], inputs)
    restored = _reached([_node_of(saver.restore_op_name)], inputs)
    for node in checkpoint:
        if node.name in run or (node.name in restored and not _reads_passed_file(node, saver)):
            yield _Finding(node.op, _SAVER, _MAIN)


def _reads_passed_file(node: Any, saver: Any) -> bool:
    file = node.input[0] if node.input else ""
    return node.op.startswith("Restore") and saver.filename_tensor_name in (file, f"{file}:0")


def _checkpoint_operations(nodes: Iterable[Any]) -> list[str]:
    return [node.op for node in nodes if _effect(node.op) == _SAVER]


def _texts(messages: Iterable[Any]) -> list[bytes]:
    return [message.SerializeToString() for message in messages]


def _is_named(name: str, texts: list[bytes]) -> bool:
    """Return whether a name occurs in any text; false alarms are accepted."""
    return any(name.encode() in text for text in texts)


def _node_of(tensor: str) -> str:
    """Return the node of a tensor's name: `^NODE`, `NODE` or `NODE:0`."""
    return tensor.removeprefix("^").split(":")[0]


def _reversed(edges: dict[str, list[str]]) -> dict[str, list[str]]:
    reverse: dict[str, list[str]] = {}
    for start, ends in edges.items():
        for end in ends:
            reverse.setdefault(end, []).append(start)
    return reverse


def _reached(starts: Iterable[str], edges: dict[str, list[str]]) -> set[str]:
    """Return all nodes reachable from some, those included; the graph may have cycles."""
    reached, ahead = set(), list(starts)
    while ahead:
        node = ahead.pop()
        if node not in reached:
            reached.add(node)
            ahead += edges.get(node, [])
    return reached
