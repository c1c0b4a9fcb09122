"""The order of the house: who imports whom, what is public, how long things are."""

import ast
import collections
import functools
import io
import itertools
import re
import tokenize
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "frieze.core": "frieze/core",
    "frieze.features": "features",
    "frieze.embedder": "embedder",
    "frieze.indexing": "index",
    "frieze.classifiers": "classifiers",
    "frieze": "frieze",
    "tools": "tools",
}
"""Room, by its import name -> its folder of the checkout."""
_ROOMS = {"frieze.core", "frieze.features", "frieze.embedder", "frieze.indexing", "frieze.classifiers"}
MAY_IMPORT = {
    "frieze.core": set(),
    "frieze.features": {"frieze.core"},
    **{
        room: {"frieze.core", "frieze.features"}
        for room in ("frieze.embedder", "frieze.indexing", "frieze.classifiers")
    },
    "frieze": _ROOMS,
    "tools": {*_ROOMS, "frieze"},
}
"""Room -> the rooms it may import: down only, never sideways."""
SHELVES = {
    "frieze.embedder": "images sources backbones in_graph engines job image_embedder cluster embed dry_run",
    "frieze.indexing": "storage filters faiss_layer stored_index stored_rows duplicates neighbours build",
    "frieze.classifiers": (
        "config data solver calibration conformal familiarity kinds metrics registry storage training teaching"
        " estimator evaluation multilabel label_audit finetuning"
    ),
    "frieze": "search_document terminal reports web api cli",
}
"""Room -> its shelves, folders and files, each of which imports only those before it."""
FORMER_NAMES = {"features", "embedder", "index", "indexing", "classifiers"}
"""Folders of the checkout that are imported below `frieze` alone: a user may have a file of that name."""
HEAVY = {
    "tensorflow",
    "keras",
    "keras_hub",
    "tf_keras",
    "tensorflow_hub",
    "faiss",
    "sklearn",
    "skops",
    "openvino",
    "ray",
}
NO_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
NO_VALUES = re.compile(
    "_*(again|asked|brings|does|found|gives|meets|own|said|tells|told|wanted|words)_*", re.IGNORECASE
)
"""Names that say nothing of a value: `second_run`, `options`, `results`, `message`, `args` do."""
_ALLOWED = {
    ("frieze/reports/html.py", "found"),  # a parameter of the public API
    ("embedder/images/decode.py", "words"),  # those of an error's text
}
MAX_FUNCTION_LINES = 40
MAX_MODULE_LINES = 400
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DOCUMENTED = (*_FUNCTIONS, ast.ClassDef, ast.Module)


class Module:
    """One parsed file; `path` is relative to the repository."""

    def __init__(self, path, text):
        self.path, self.text, self.tree = path, text, ast.parse(text)
        self.name = _import_name(path)
        self.room = _room(self.name)

    @functools.cached_property
    def nodes(self):
        """All nodes of the tree, by their type."""
        nodes = collections.defaultdict(list)
        for node in ast.walk(self.tree):
            nodes[type(node)].append(node)
        return nodes

    def of_types(self, *types):
        """Yield the nodes of some types."""
        return itertools.chain.from_iterable(self.nodes[one] for one in types)

    @functools.cached_property
    def code_lines(self):
        """The numbers of the lines that are not blank, comment or docstring."""
        return _code_lines(self)

    def at(self, line, message):
        """Name an offence by its place."""
        return f"{self.path}:{line}: {message}"

    def imports(self):
        """Yield (line, module, names) of each import anywhere; names is None for `import module`."""
        for node in self.of_types(ast.Import):
            yield from ((node.lineno, alias.name, None) for alias in node.names)
        for node in self.of_types(ast.ImportFrom):
            if not node.level:
                rooms = [alias.name for alias in node.names if f"{node.module}.{alias.name}" in FOLDERS]
                yield from ((node.lineno, f"{node.module}.{room}", None) for room in rooms)
                if names := [alias.name for alias in node.names if alias.name not in rooms]:
                    yield node.lineno, node.module, names

    def foreign_imports(self):
        """Return those of `imports` that name another room."""
        return [actual for actual in self.imports() if (room := _room(actual[1])) and room != self.room]


def _import_name(path):
    """Return the name under which a file of the checkout is imported."""
    stem = path.with_suffix("").parts
    room = next((room for room, folder in FOLDERS.items() if path.is_relative_to(folder)), None)
    inside = stem[len(Path(FOLDERS[room]).parts) :] if room else stem
    return ".".join([*([room] if room else []), *(part for part in inside if part != "__init__")])


def _room(name):
    """Return the room of an import name; None for a library or a script."""
    return next((room for room in FOLDERS if f"{name}.".startswith(f"{room}.")), None)


def _code_lines(module):
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(module.text).readline)
    lines = {n for token in tokens if token.type not in skipped for n in range(token.start[0], token.end[0] + 1)}
    for node in module.of_types(*_DOCUMENTED):
        for statement in node.body:  # a string after a constant documents it
            if isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, "value", None), str):
                lines -= _span(statement)
    return lines


def _span(node):
    return set(range(node.lineno, node.end_lineno + 1))


def _is_table(node):
    """Return whether a statement is a module's table of data: a literal with an UPPERCASE name."""
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    is_literal = isinstance(getattr(node, "value", None), ast.Dict | ast.List | ast.Tuple | ast.Set)
    return is_literal and isinstance(target, ast.Name) and target.id.isupper()


def imports_go_down(module):
    """A room imports only the rooms below it, never its siblings."""
    for line, name, _ in module.foreign_imports():
        if _room(name) not in MAY_IMPORT[module.room]:
            yield module.at(line, f"{module.room} must not import {name}")


def shelves_go_down(module):
    """A shelf of a room imports only the shelves before it."""
    order = SHELVES.get(module.room, "").split()
    for line, name, names in module.imports():
        for target in [f"{name}.{one}" for one in names or ()] + [name]:
            shelf, other = (_shelf(one, module.room) for one in (module.name, target))
            if {shelf, other} <= set(order) and order.index(other) > order.index(shelf):
                yield module.at(line, f"{shelf} must not import {other}")
                break


def _shelf(name, room):
    return name.removeprefix(f"{room}.").split(".")[0] if name.startswith(f"{room}.") else None


def everything_is_imported_below_frieze(module):
    """Nothing of ours is imported under a name that a user's own file may have."""
    for line, name, _ in module.imports():
        if name.split(".")[0] in FORMER_NAMES:
            yield module.at(line, f"import {name} as frieze.{name}")


def only_public_names(module):
    """Outside its package, only what a package lists in `__all__` is used, and from the package itself."""
    for line, name, names in module.foreign_imports():
        if (room := _room(name)) == "tools":
            continue
        if name != room:
            yield module.at(line, f"import from {room} itself, not from {name}")
            continue
        public = _listed(_parsed(ROOT / FOLDERS[room] / "__init__.py"))[0]
        used = _attributes(module, name) if names is None else [(line, one) for one in names]
        yield from (module.at(at, f"{name} does not list {one} in __all__") for at, one in used if one not in public)


def _attributes(module, name):
    """Yield (line, attribute) of each use of an imported package."""
    rooms = {one.removeprefix("frieze.") for one in FOLDERS if one.startswith(f"{name}.")}
    known = {name, name.removeprefix("frieze.")}
    for node in module.of_types(ast.Attribute):
        if node.attr not in rooms and ast.unparse(node.value) in known:
            yield node.lineno, node.attr


def all_is_sorted_and_true(module):
    """A package's `__all__` is sorted, without repeats, and lists exactly the public names that it binds."""
    if module.path.name != "__init__.py":
        return
    public, line = _listed(module)
    imported, made = _bound(module)
    if public != sorted(set(public), key=_sort_key):
        yield module.at(line, "__all__ is not sorted")
    used = {node.id for node in module.of_types(ast.Name)}
    exported = {name for name in made | (imported - used) if not name.startswith("_")}  # the rest is for own use
    yield from (module.at(line, f"{name} is listed, not there") for name in sorted(set(public) - imported - made))
    yield from (module.at(line or 1, f"{name} is there, not listed") for name in sorted(exported - set(public)))


def _sort_key(name):
    """Sort as ruff does (RUF022): constants, then classes, then the rest."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def _listed(module):
    """Return the names in `__all__` and its line; none, and line 0, where there is no `__all__`."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value), node.lineno
    return [], 0


def _bound(module):
    """Return the names that a module imports at its top, and those that it makes there."""
    imported, made = set(), set()
    pending = list(module.tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If):  # under TYPE_CHECKING stands what `__getattr__` brings
            pending += node.body
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imported |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            made.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            made |= {target.id for target in targets if isinstance(target, ast.Name)}
    return imported, made


def heavy_libraries_wait(module):
    """A heavy library is imported where it is used, never when a module is loaded."""
    pending = list(module.tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or alias.name for alias in node.names]
            yield from (module.at(node.lineno, f"{name} at the top") for name in names if name.split(".")[0] in HEAVY)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            pending += node.orelse
        elif not isinstance(node, _FUNCTIONS):
            pending += ast.iter_child_nodes(node)


def functions_fit_a_screen(module):
    """No function has more than 40 code lines; the mirrors of commands have one more line for each option."""
    is_mirror = module.path.is_relative_to("frieze/api")
    for node in module.of_types(*_FUNCTIONS):
        n_options = len(node.args.kwonlyargs) if is_mirror else 0
        if (n := len(module.code_lines & _span(node)) - n_options) > MAX_FUNCTION_LINES:
            yield module.at(node.lineno, f"{node.name} has {n} code lines")


def modules_are_short(module):
    """No module has more than 400 code lines; a table of data may be as long as it needs."""
    tables = set().union(*(_span(node) for node in module.tree.body if _is_table(node)))
    if (n := len(module.code_lines - tables)) > MAX_MODULE_LINES:
        yield module.at(1, f"{n} code lines")


def names_say_what_is_in(module):
    """No module or folder is called utils, helpers, common or misc."""
    yield from (module.at(1, f"named {name}") for name in {*module.path.parts[:-1], module.path.stem} & NO_NAMES)


def values_say_what_they_are(module):
    """No variable, parameter, attribute, function or fixture is called found, told, words or the like."""
    for node in module.of_types(ast.Name, ast.Attribute, ast.arg, *_FUNCTIONS):
        name = _bound_name(node)
        if NO_VALUES.fullmatch(name) and (module.path.as_posix(), name) not in _ALLOWED:
            yield module.at(node.lineno, f"named {name}")


def _bound_name(node):
    """Return the name that a node gives to a value; empty if none."""
    if isinstance(node, ast.Name | ast.Attribute):
        name = node.id if isinstance(node, ast.Name) else node.attr
        return name if isinstance(node.ctx, ast.Store) else ""
    return node.arg if isinstance(node, ast.arg) else node.name


def each_test_states_its_rule(module):
    """Each test function has a docstring: the rule that it proves."""
    for node in module.of_types(*_FUNCTIONS):
        if node.name.startswith("test_") and not ast.get_docstring(node):
            yield module.at(node.lineno, f"{node.name} has no docstring")


ROOM_RULES = [
    imports_go_down,
    shelves_go_down,
    everything_is_imported_below_frieze,
    only_public_names,
    all_is_sorted_and_true,
    heavy_libraries_wait,
    functions_fit_a_screen,
    modules_are_short,
    names_say_what_is_in,
    values_say_what_they_are,
]
SCRIPT_RULES = [everything_is_imported_below_frieze, only_public_names, names_say_what_is_in, values_say_what_they_are]
TEST_RULES = [
    everything_is_imported_below_frieze,
    each_test_states_its_rule,
    names_say_what_is_in,
    values_say_what_they_are,
]
HELD = [
    *((rule, folder) for rule in ROOM_RULES for folder in FOLDERS.values()),
    *((rule, folder) for rule in SCRIPT_RULES for folder in ("benchmarks", "examples")),
    *((rule, "tests") for rule in TEST_RULES),
]


@functools.cache
def _parsed(path):
    return Module(path.relative_to(ROOT), path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("rule", "folder"), HELD, ids=lambda value: getattr(value, "__name__", value))
def test_house(rule, folder):
    """Every module keeps each rule of its folder."""
    offences = [offence for path in _files(folder) for offence in rule(_parsed(path))]
    assert not offences, "\n".join([rule.__doc__, *offences])


def test_no_circles():
    """No two files import each other, in however many steps; imports inside functions and by name count."""
    modules = {module.name: module for folder in FOLDERS.values() for module in map(_parsed, _files(folder))}
    graph = {name: _targets(module, modules.keys()) - {name} for name, module in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def _targets(module, known):
    """Return the modules of ours that one imports, by statement or by a name in quotes."""
    named = {f"{name}.{one}" for _, name, names in module.imports() for one in names or [""]}
    homes = {name.rstrip(".") if name.rstrip(".") in known else name.rpartition(".")[0] for name in named}
    strings = (node.value for node in module.of_types(ast.Constant))
    return known & (homes | {one for one in strings if isinstance(one, str) and "." in one})


def _files(folder):
    """Return the Python files of a folder; those of the rooms that are linked into frieze/ belong to the rooms."""
    return sorted((ROOT / folder).rglob("*.py"))


LONG = "def f():\n" + "    x = 1\n" * 40
OFFENCES = [
    (imports_go_down, "features/x.py", "def f():\n    from frieze.indexing import y\n", [2]),
    (imports_go_down, "index/x.py", "from frieze import embedder\nimport frieze.core\nimport frieze.indexing.a\n", [1]),
    (imports_go_down, "frieze/core/x.py", "from frieze.features import y\n", [1]),
    (imports_go_down, "frieze/x.py", "from frieze.embedder import y\nfrom frieze.indexing import z\n", []),
    (shelves_go_down, "index/storage/x.py", "from frieze.indexing import build\nimport frieze.core\n", [1]),
    (shelves_go_down, "embedder/job/x.py", "from frieze.embedder.cluster.driver import y\n", [1]),
    (shelves_go_down, "embedder/job/x.py", "from frieze.embedder.images.decode import y\n", []),
    (everything_is_imported_below_frieze, "tests/x.py", "import embedder\nfrom index.search import y\n", [1, 2]),
    (everything_is_imported_below_frieze, "index/x.py", "from frieze.features import y\n", []),
    (only_public_names, "index/x.py", "from frieze.features import top_k, part_name\n", [1]),
    (
        only_public_names,
        "index/x.py",
        "from frieze.features.exact_search import top_k\nimport frieze.features.spec\n",
        [1, 2],
    ),
    (only_public_names, "index/x.py", "from frieze import features\nfeatures.top_k()\nfeatures.exact.top_k()\n", [3]),
    (only_public_names, "features/x.py", "from frieze.features.exact_search import _best\n", []),
    (all_is_sorted_and_true, "index/__init__.py", "from x import a, b\n__all__ = ['b', 'a']\n", [2]),
    (all_is_sorted_and_true, "index/__init__.py", "from x import a, b\n__all__ = ['a', 'c']\n", [2, 2]),
    (all_is_sorted_and_true, "index/__init__.py", "if TYPE_CHECKING:\n    from x import a\n__all__ = ['a']\n", []),
    (all_is_sorted_and_true, "index/__init__.py", "from x import a\ndef b():\n    a()\n__all__ = ['b']\n", []),
    (heavy_libraries_wait, "index/x.py", "try:\n    import faiss\nexcept E: ...\nfrom keras.a import b\n", [2, 4]),
    (heavy_libraries_wait, "index/x.py", "def f():\n    import faiss\nif TYPE_CHECKING:\n    import keras\n", []),
    (functions_fit_a_screen, "index/x.py", LONG, [1]),
    (functions_fit_a_screen, "index/x.py", LONG.replace("x = 1", "# 1", 3), []),
    (modules_are_short, "index/x.py", "x = 1\n" * 401, [1]),
    (modules_are_short, "index/x.py", "X = [\n" + "1,\n" * 300 + "]\n" + "x = 1\n\n" * 400, []),
    (names_say_what_is_in, "index/utils/x.py", "", [1]),
    (names_say_what_is_in, "index/common.py", "", [1]),
    (
        values_say_what_they_are,
        "index/x.py",
        "def told(_found): ...\na.asked = [words for words in OWN]\n",
        [1, 1, 2, 2],
    ),
    (values_say_what_they_are, "index/x.py", "f(words=meets_target)\nown_s = a.words\n", []),
    (each_test_states_its_rule, "tests/test_x.py", "def test_a(): ...\ndef test_b():\n    'Rule.'\n", [1]),
]
"""Rule, path, text, and the lines on which the rule must complain."""


@pytest.mark.parametrize(("rule", "path", "text", "lines"), OFFENCES)
def test_rules_bite(rule, path, text, lines):
    """Each rule complains of what it forbids, by file and line, and of nothing else."""
    actual = sorted(rule(Module(Path(path), text)))
    assert [offence.split(": ")[0] for offence in actual] == [f"{path}:{line}" for line in lines]


def test_every_rule_is_tried():
    """Each rule has a sample above on which it complains."""
    assert {rule for rule, _, _, lines in OFFENCES if lines} == {*ROOM_RULES, *SCRIPT_RULES, *TEST_RULES}
