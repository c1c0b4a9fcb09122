"""The judge is the mark that an evil backbone leaves: none before a refusal, one where it was trusted."""

import re
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from frieze.core import ModelError
from frieze.embedder import BackboneRequest, JobOptions, embed_source, open_backbone, reopen_backbone
from frieze.embedder.backbones.op_safety import _TABLE, _VERSION, check_only_computes
from frieze.features import read_manifest

SIDE_PX = 8
SHAPE = [None, SIDE_PX, SIDE_PX, 3]


def write(tf, mark):
    """Write a file."""
    return tf.io.write_file(mark, "was here")


def save_checkpoint(tf, mark):
    """Write a checkpoint, out of the saver's hands."""
    return tf.raw_ops.SaveV2(prefix=mark, tensor_names=["a"], shape_and_slices=[""], tensors=[tf.ones(3)])


def _flat(tf, results):
    return [one for one in tf.nest.flatten(results) if one is not None]


def _in_function(effect):
    def nested(tf, mark):
        def run():
            with tf.control_dependencies(_flat(tf, effect(tf, mark))):
                return tf.timestamp()  # a constant would be folded away, together with what it waits for

        inner = tf.function(run, autograph=False)
        return tf.function(lambda: inner() + 1, autograph=False)()

    return nested


def _in_branch(tf, mark):
    tf.cond(tf.random.uniform([]) < 2, lambda: (write(tf, mark), 1)[1], lambda: 0)


def _in_loop(tf, mark):
    tf.while_loop(lambda step: step < 1, lambda step: (write(tf, mark), [step + 1])[1], [0])


EVIL = {
    "WriteFile": write,
    "PrintV2": lambda tf, mark: tf.print("was here", output_stream=f"file://{mark}"),
    "EagerPyFunc": lambda tf, mark: tf.py_function(lambda: Path(mark).write_text("was here"), [], tf.int32),
    "PyFunc": lambda tf, mark: tf.numpy_function(lambda: Path(mark).write_text("was here"), [], tf.int64),
    "SaveV2": save_checkpoint,
    "WriteFile in a function": _in_function(write),
    "SaveV2 in a function": _in_function(save_checkpoint),
    "WriteFile in a branch": _in_branch,
    "WriteFile in a loop": _in_loop,
}
"""What a graph must not do, by the operation that does it: `effect(tf, path of the mark)`."""


@pytest.fixture
def mark(tmp_path):
    """Where an evil backbone leaves its mark."""
    return tmp_path / "mark"


@pytest.fixture
def save(tf, tmp_path):
    """`save(effect, name="net", **tracked)`: a SavedModel that averages colours, and runs `effect()` beside."""

    def write_model(effect=lambda: None, name="net", **tracked):
        def call(images):
            with tf.control_dependencies(_flat(tf, effect())):
                return tf.reduce_mean(images, (1, 2))

        module = tf.Module()
        module.tracked, module.weight = tracked, tf.Variable([1.0])
        module.__call__ = tf.function(call, input_signature=[tf.TensorSpec(SHAPE)], autograph=False)
        tf.saved_model.save(module, str(tmp_path / name))
        return tmp_path / name

    return write_model


@pytest.fixture
def save_tf1(tf, tmp_path, mark):
    """`save_tf1(where, effect=save_checkpoint)`: a TF1 graph where a signature, or what else, waits for an effect."""
    v1 = tf.compat.v1

    def write_model(where, effect=save_checkpoint):
        builder = v1.saved_model.Builder(str(tmp_path / "net"))
        with tf.Graph().as_default(), v1.Session() as session:
            images = v1.placeholder(tf.float32, SHAPE, name="images")
            weight = v1.get_variable("weight", initializer=[1.0, 2.0, 3.0])
            saver, evil = v1.train.Saver(), effect(tf, str(mark))
            v1.add_to_collection(v1.GraphKeys.SAVERS, saver)
            if where == "local_variable":
                v1.get_local_variable("local", initializer=lambda: _after(tf, evil, tf.constant(1.0)))
            output = _after(tf, evil if where == "signature" else tf.no_op(), tf.reduce_mean(images, (1, 2)) * weight)
            session.run(v1.global_variables_initializer())
            describe = v1.saved_model.signature_def_utils.predict_signature_def
            signatures = {"serving_default": describe({"images": images}, {"default": output})}
            options = {"main_op": evil if where == "main_op" else None, "saver": saver}
            builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures, **options)
        builder.save()
        return tmp_path / "net"

    return write_model


def _after(tf, op, value):
    with tf.control_dependencies([op]):
        return tf.identity(value)


def forge(tf, folder, edit):
    """Change the graph that a folder holds."""
    model = tf.__internal__.saved_model.parse_saved_model(str(folder))
    edit(model.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())


def function_with(graph, operation):
    """Return the first function that holds an operation; `SaveV2` is the saver's."""
    functions = graph.graph_def.library.function
    return next(one for one in functions if any(node.op == operation for node in one.node_def))


def refusal(folder):
    """Open what is rejected, and return the error."""
    with pytest.raises(ModelError, match="does more than compute") as caught:
        open_backbone(BackboneRequest(handle=str(folder)))
    return caught.value


def marks(mark):
    """Return whether anything was written, a checkpoint's files included."""
    return any(mark.parent.glob("mark*"))


@pytest.mark.parametrize("name", EVIL)
def test_refused_before_it_shows(name, save, mark, tf):
    """A graph that reads or writes files or calls Python is rejected before it leaves a mark, however deep it hides."""
    error = refusal(save(lambda: EVIL[name](tf, str(mark))))
    assert f"net does more than compute: {name.split()[0]} in '" in error.message
    assert not marks(mark)


@pytest.mark.parametrize("name", EVIL)
def test_trusted(name, save, mark, tf):
    """The same graph runs where it is trusted."""
    folder = save(lambda: EVIL[name](tf, str(mark)))
    assert open_backbone(BackboneRequest(handle=str(folder), trust=True)).spec.dim == 3
    assert marks(mark)


def test_message(save, tf):
    """The refusal names the model, each operation with its function and what it does, and the way to trust it."""
    error = refusal(save(lambda: tf.io.write_file("no/where", tf.io.read_file("nothing")), name="cats_v2"))
    functions = r"'(__inference_call_\d+)'"
    pattern = rf"cats_v2 does more than compute: \w+ in {functions} \w+ files, \w+ in {functions} \w+ files\."
    assert re.fullmatch(pattern, error.message)
    assert {"ReadFile", "WriteFile", "reads", "writes"} <= set(re.findall(r"\w+", error.message))
    assert error.hint.startswith("Use it only if you know who made it: add `trust_backbone=True`")


def test_long_list(save, tf):
    """Of many operations four are named, and the rest counted."""
    reads = [tf.function(lambda: tf.io.read_file("nothing"), autograph=False) for _ in range(6)]
    assert refusal(save(lambda: [read() for read in reads])).message.endswith(" reads files, and 2 more.")


def test_name_of_a_function(save, mark, tf):
    """A function's name is the model's word: what would steer a terminal is escaped, and it is cut."""
    folder = save(lambda: write(tf, str(mark)))
    forge(tf, folder, lambda graph: _rename(function_with(graph, "WriteFile"), "\x1b[2J\n" + "x" * 10_000))
    message = refusal(folder).message
    assert r"WriteFile in '\x1b[2J\nxxx" in message
    assert len(message) < 500


def _rename(function, name):
    function.signature.name = name


def test_initializer_of_a_resource(save, mark, tf):
    """What a resource does when it is made counts: loading alone would run it."""

    class Resource(tf.saved_model.experimental.TrackableResource):
        def _create_resource(self):
            return tf.raw_ops.StackV2(max_size=1, elem_type=tf.float32)

        def _initialize(self):
            write(tf, str(mark))

    resource = Resource()
    assert resource.resource_handle is not None
    folder = save(resource=resource)
    assert "WriteFile in '__inference__initializer" in refusal(folder).message
    assert not marks(mark)
    open_backbone(BackboneRequest(handle=str(folder), trust=True))
    assert marks(mark)


def test_vocabulary(save, tmp_path, tf):
    """A table filled from a file is rejected, though the file be the model's own; one filled from the graph is not."""
    (tmp_path / "words.txt").write_text("one\ntwo\n")
    whole, line = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    file = tf.lookup.TextFileInitializer(str(tmp_path / "words.txt"), tf.string, whole, tf.int64, line)
    table = tf.lookup.StaticHashTable(file, -1)
    error = refusal(save(lambda: table.lookup(tf.constant("one")), table=table))
    assert "InitializeTableFromTextFileV2 in '__inference__initializer" in error.message
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["one"], [1]), -1)
    handle = str(save(lambda: table.lookup(tf.constant("one")), name="honest", table=table))
    assert open_backbone(BackboneRequest(handle=handle)).spec.dim == 3


@pytest.mark.parametrize("where", ["signature", "main_op", "local_variable"])
@pytest.mark.parametrize(("effect", "operation"), [(write, "WriteFile"), (save_checkpoint, "SaveV2")])
def test_tf1(where, effect, operation, save_tf1, mark):
    """A TF1 graph is rejected for what a signature or an initializer gets to; where it is trusted, that is run."""
    folder = save_tf1(where, effect)
    assert f"net does more than compute: {operation} in the main graph" in refusal(folder).message
    assert not marks(mark)
    assert open_backbone(BackboneRequest(handle=str(folder), pixels="0..1", trust=True)).spec.dim == 3
    assert marks(mark)


def test_tf1_left_alone(save_tf1, mark):
    """A TF1 graph is accepted with the savers that it has, and with other checkpoints that nothing gets to."""
    assert open_backbone(BackboneRequest(handle=str(save_tf1("nowhere")), pixels="0..1")).spec.dim == 3
    assert not marks(mark)


def _overwrite(graph):
    """Let restoring write over the file that it is given."""
    node = next(node for node in graph.graph_def.node if node.name == graph.saver_def.restore_op_name)
    node.input.append("^save/SaveV2")


def _read_another(graph, tensor="save/filename/input"):
    """Let restoring read another file than the one that it is given."""
    next(node for node in graph.graph_def.node if node.op == "RestoreV2").input[0] = tensor


def _read_another_output(graph):
    """Let restoring read another output of the node whose one output it is given."""
    node = graph.graph_def.node.add(name="two", op="IdentityN", input=["save/filename/input"] * 2)
    node.attr["T"].list.type.extend([7, 7])  # strings
    graph.saver_def.filename_tensor_name = "two:1"
    _read_another(graph, "two")


@pytest.mark.parametrize(
    ("edit", "operation"),
    [(_overwrite, "SaveV2"), (_read_another, "RestoreV2"), (_read_another_output, "RestoreV2")],
)
def test_tf1_restoring(edit, operation, save_tf1, tf):
    """Restoring a TF1 graph, which loading does, may read the file that it is given, and nothing else."""
    folder = save_tf1("nowhere")
    forge(tf, folder, edit)
    expected = f"{operation} in the main graph reads or writes checkpoints outside the saver."
    assert refusal(folder).message.endswith(expected)


def test_tf1_function(save_tf1, tf, save):
    """A TF1 graph has no functions that save."""
    other = tf.__internal__.saved_model.parse_saved_model(str(save(name="other")))
    saver = function_with(other.meta_graphs[0], "SaveV2")
    folder = save_tf1("nowhere")
    forge(tf, folder, lambda graph: graph.graph_def.library.function.append(saver))
    assert f"SaveV2 in '{saver.signature.name}' reads or writes checkpoints" in refusal(folder).message


def _call_by_name(graph, saver):
    node = function_with(graph, "Mean").node_def.add(name="call", op="PartitionedCall")
    node.attr["f"].func.name = saver.signature.name


def _call_as_operation(graph, saver):
    function_with(graph, "Mean").node_def.add(name="call", op=saver.signature.name)


def _call_by_object(graph, saver):
    graph.object_graph_def.concrete_functions[saver.signature.name].SetInParent()


def _call_as_gradient(graph, saver):
    graph.graph_def.library.gradient.add(function_name="f", gradient_func=saver.signature.name)


def _call_by_interface(_graph, saver):
    saver.attr["api_implements"].s = b"swap"


@pytest.mark.parametrize(
    "edit", [_call_by_name, _call_as_operation, _call_by_object, _call_as_gradient, _call_by_interface]
)
def test_saver_called_by_others(edit, save, tf):
    """The saver's own function is rejected as soon as anything but the saver can get to it."""
    folder = save()
    check_only_computes(folder, name="net")
    forge(tf, folder, lambda graph: edit(graph, function_with(graph, "SaveV2")))
    assert "SaveV2 in '__inference__traced_save" in refusal(folder).message


def test_printing(save, tf):
    """A graph may print to stderr, but not to a place that its caller fills in."""
    folder = save(lambda: tf.print("here"))
    check_only_computes(folder, name="net")

    def fill_in(graph):
        nodes = function_with(graph, "PrintV2").node_def
        next(node for node in nodes if node.op == "PrintV2").attr["output_stream"].placeholder = "place"

    forge(tf, folder, fill_in)
    assert "PrintV2" in refusal(folder).message


def test_export_of_keras(tf, tmp_path):
    """A Keras model's export is computing, also of a Lambda layer: what safe mode refuses can come this way."""
    import keras

    layers = [keras.layers.Lambda(lambda images: 2 * images), keras.layers.GlobalAveragePooling2D()]
    keras.Sequential([keras.Input((SIDE_PX, SIDE_PX, 3)), *layers]).export(tmp_path / "net", verbose=False)
    images = np.full((1, SIDE_PX, SIDE_PX, 3), 0.25, np.float32)
    assert np.allclose(open_backbone(BackboneRequest(handle=str(tmp_path / "net"), pixels="0..1")).call(images), 0.5)


def test_real_backbones(shared_data):
    """Real SavedModels are accepted."""
    folders = sorted((shared_data / "backbones").glob("*/saved_model"))
    assert len(folders) == 4
    for folder in folders:
        check_only_computes(folder, name=folder.parent.name)


def test_text_form(save, mark, tf):
    """A SavedModel in text form is looked at as well."""
    folder = save(lambda: write(tf, str(mark)))
    model = tf.__internal__.saved_model.parse_saved_model(str(folder))
    (folder / "saved_model.pb").unlink()
    (folder / "saved_model.pbtxt").write_text(text_format.MessageToString(model))
    assert "WriteFile" in refusal(folder).message


def test_url(save, mark, tf, monkeypatch):
    """What comes from a URL is looked at as well, and trusted as well."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(mark.parent / "cache"))
    url = f"file://{save(lambda: write(tf, str(mark)))}"
    assert "WriteFile" in refusal(url).message
    assert not marks(mark)
    assert open_backbone(BackboneRequest(handle=url, trust=True)).spec.handle == url


def test_trust_is_for_one_run(save, mark, tf, write_photos, out):
    """A table made with trust resumes without it as long as nothing has to be embedded; trust is not stored."""
    folder, photos = save(lambda: write(tf, str(mark))), write_photos(mark.parent / "photos", ["a.jpg"])

    def embed(*, trust):
        request = BackboneRequest(handle=str(folder), trust=trust)
        return embed_source(str(photos), out, request=request, options=JobOptions())

    assert embed(trust=True)["embedded"] == 1
    assert "trust" not in read_manifest(out).request
    assert embed(trust=False)["unchanged"] == 1
    write_photos(photos, ["b.jpg"], first_seed=1)
    with pytest.raises(ModelError, match="WriteFile"):
        embed(trust=False)
    assert embed(trust=True)["embedded"] == 1


def test_reopened(save, mark, tf):
    """A stored spec does not bring trust along: the table may be anybody's, and the refusal says what is left."""
    spec = open_backbone(BackboneRequest(handle=str(save(lambda: write(tf, str(mark)))), trust=True)).spec
    mark.unlink()
    with pytest.raises(ModelError, match="to frieze embed or finetune, the commands that run such a backbone"):
        reopen_backbone(spec, where="the table")
    assert not marks(mark)


NAMES = re.compile(
    "File|Path|Record|Reader|Snapshot|Sql|LMDB|CSV|TextLine|Py|Callback|Rpc|Service|Register|Remote|Save|Restore|Load(?!.*TPU)"
    "|Checkpoint|Abort|Exec|Process|Cache|Debug|Dump|Event|Summary|Custom(?!Combiner)|Module|Mlir|FromGraph"
)
"""What an operation beyond computing is likely to be called."""

TEXTS = re.compile("file|path|dir$|dir_|directory|url|uri|address|prefix|region|source|token|module|driver|descriptor")
"""What such an operation is likely to call its texts, be they inputs or attributes."""

HARMLESS = """
    AnonymousMemoryCache DeleteMemoryCache DummyMemoryCache SetStatsAggregatorDataset StatsAggregatorSummary
    AudioSummary HistogramSummary ImageSummary MergeSummary ScalarSummary SummaryWriter TensorSummary
    BoostedTreesExampleDebugOutputs BoostedTreesMakeStatsSummary CustomAggregator DebugGradientIdentity
    DebugGradientRefIdentity DecodeCSV DeleteRpcFutureResource ExecuteTPUEmbeddingPartitioner IdentityReader
    ReaderNumRecordsProduced ReaderNumWorkUnitsCompleted ReaderRead ReaderReadUpTo ReaderReset ReaderRestoreState
    ReaderSerializeState RemoteCall ShardedFilename ShardedFilespec Snapshot TPUExecute TPUExecuteAndUpdateVariables
    TensorArrayGrad TensorArrayGradWithShape _XlaCompileMlirPlaceholderProgramKey
"""
"""Looked at, and found to stay in memory: summaries are texts, a reader reads only what another operation opened, and
the functions that RemoteCall or a TPU runs are looked at themselves."""


OF_TENSORFLOW_TEXT = {"SentenceFragments", "TFText>Utf8Binarize", "WordpieceTokenizeWithOffsets"}
"""There only where another test of this process has imported tensorflow-text; they read no file."""


def registered(tf):
    """Return each operation that TensorFlow has, without its version, with the names of its texts."""
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session as runtime

    for one in op_def_pb2.OpList.FromString(runtime.TF_GetBuffer(runtime.TF_GetAllOpList())).op:
        inputs = [argument.name for argument in one.input_arg if argument.type == tf.string.as_datatype_enum]
        yield _VERSION.sub("", one.name), inputs + [attr.name for attr in one.attr if "string" in attr.type]


def test_every_operation_is_known(tf):
    """No operation of this TensorFlow has a telling name, or takes a telling text, that nobody looked at."""
    telling = {name for name, texts in registered(tf) if NAMES.search(name) or any(map(TEXTS.search, texts))}
    assert {"ReadFile", "Skipgram", "PyFunc"} <= telling
    assert telling - set(_TABLE) - set(HARMLESS.split()) - OF_TENSORFLOW_TEXT == set()


def test_every_row_is_real(tf):
    """Each operation of the table is one that TensorFlow has."""
    assert set(_TABLE) - {name for name, _ in registered(tf)} == set()
