"""The order of the house: who imports whom, what is public, how long things are."""

import ast
import functools
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "features": set(),
    "embedder": {"features"},
    "index": {"features"},
    "classifiers": {"features"},
    "frieze": {"features", "embedder", "index", "classifiers"},
    "tools": {"features", "embedder", "frieze"},
}
"""Room -> the rooms it may import: down only, never sideways."""
HEAVY = {"tensorflow", "keras", "tf_keras", "tensorflow_hub", "faiss", "sklearn", "skops", "openvino", "ray"}
NO_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
MAX_FUNCTION_LINES = 40
MAX_MODULE_LINES = 400
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DOCUMENTED = (*_FUNCTIONS, ast.ClassDef, ast.Module)


class Module:
    """One parsed file; `path` is relative to the repository."""

    def __init__(self, path, text):
        self.path, self.tree = path, ast.parse(text)
        self.room = path.parts[0]
        self.code_lines = _code_lines(text, self.tree)

    def at(self, line, message):
        """Name an offence by its place."""
        return f"{self.path}:{line}: {message}"

    def imports(self):
        """Give (line, module, names) of each import anywhere; names is None for `import module`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name, None) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.lineno, node.module, [alias.name for alias in node.names]

    def foreign_imports(self):
        """Give those of `imports` that name another room."""
        return [
            found for found in self.imports() if (room := found[1].split(".")[0]) in MAY_IMPORT and room != self.room
        ]


def _code_lines(text, tree):
    """Give the numbers of the lines that are not blank, comment or docstring."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {n for token in tokens if token.type not in skipped for n in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(tree):
        body = getattr(node, "body", []) if isinstance(node, _DOCUMENTED) else []
        for statement in body:  # a string after a constant documents it
            if isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, "value", None), str):
                lines -= _span(statement)
    return lines


def _span(node):
    return set(range(node.lineno, node.end_lineno + 1))


def _is_table(node):
    """Tell whether a statement is a module's table of data: a literal with an UPPERCASE name."""
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    is_literal = isinstance(getattr(node, "value", None), ast.Dict | ast.List | ast.Tuple | ast.Set)
    return is_literal and isinstance(target, ast.Name) and target.id.isupper()


def imports_go_down(module):
    """A room imports only the rooms below it, never its siblings."""
    for line, name, _ in module.foreign_imports():
        if name.split(".")[0] not in MAY_IMPORT.get(module.room, MAY_IMPORT):
            yield module.at(line, f"{module.room} must not import {name}")


def only_public_names(module):
    """Outside its package, only what a package lists in `__all__` is used, and from the package itself."""
    for line, name, names in module.foreign_imports():
        if "." in name:
            yield module.at(line, f"import from {name.split('.')[0]} itself, not from {name}")
            continue
        public = _listed(_parsed(ROOT / name / "__init__.py"))[0]
        used = _attributes(module, name) if names is None else [(line, one) for one in names]
        yield from (module.at(at, f"{name} does not list {one} in __all__") for at, one in used if one not in public)


def _attributes(module, name):
    """Give (line, attribute) of each use of an imported package."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name:
            yield node.lineno, node.attr


def all_is_sorted_and_true(module):
    """A package's `__all__` is sorted, without repeats, and lists exactly the public names that it binds."""
    if module.path.name != "__init__.py":
        return
    public, line = _listed(module)
    imported, made = _bound(module)
    if public != sorted(set(public), key=_sort_key):
        yield module.at(line, "__all__ is not sorted")
    used = {node.id for node in ast.walk(module.tree) if isinstance(node, ast.Name)}
    exported = {name for name in made | (imported - used) if not name.startswith("_")}  # the rest is for own use
    yield from (module.at(line, f"{name} is listed, not there") for name in sorted(set(public) - imported - made))
    yield from (module.at(line or 1, f"{name} is there, not listed") for name in sorted(exported - set(public)))


def _sort_key(name):
    """Sort as ruff does (RUF022): constants, then classes, then the rest."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def _listed(module):
    """Give the names in `__all__` and its line; none, and line 0, where there is no `__all__`."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value), node.lineno
    return [], 0


def _bound(module):
    """Give the names that a module imports at its top, and those that it makes there."""
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
    """No function has more than 40 code lines."""
    for node in ast.walk(module.tree):
        if isinstance(node, _FUNCTIONS) and (n := len(module.code_lines & _span(node))) > MAX_FUNCTION_LINES:
            yield module.at(node.lineno, f"{node.name} has {n} code lines")


def modules_are_short(module):
    """No module has more than 400 code lines; a table of data may be as long as it needs."""
    tables = set().union(*(_span(node) for node in module.tree.body if _is_table(node)))
    if (n := len(module.code_lines - tables)) > MAX_MODULE_LINES:
        yield module.at(1, f"{n} code lines")


def names_say_what_is_in(module):
    """No module or folder is called utils, helpers, common or misc."""
    yield from (module.at(1, f"named {name}") for name in {*module.path.parts[:-1], module.path.stem} & NO_NAMES)


def each_test_states_its_rule(module):
    """Each test function has a docstring: the rule that it proves."""
    for node in ast.walk(module.tree):
        if isinstance(node, _FUNCTIONS) and node.name.startswith("test_") and not ast.get_docstring(node):
            yield module.at(node.lineno, f"{node.name} has no docstring")


ROOM_RULES = [
    imports_go_down,
    only_public_names,
    all_is_sorted_and_true,
    heavy_libraries_wait,
    functions_fit_a_screen,
    modules_are_short,
    names_say_what_is_in,
]
SCRIPT_RULES = [only_public_names, names_say_what_is_in]
TEST_RULES = [each_test_states_its_rule, names_say_what_is_in]
HELD = [
    *((rule, folder) for rule in ROOM_RULES for folder in MAY_IMPORT),
    *((rule, folder) for rule in SCRIPT_RULES for folder in ("benchmarks", "examples")),
    *((rule, "tests") for rule in TEST_RULES),
]


@functools.cache
def _parsed(path):
    return Module(path.relative_to(ROOT), path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("rule", "folder"), HELD, ids=lambda value: getattr(value, "__name__", value))
def test_house(rule, folder):
    """Every module keeps each rule of its folder."""
    offences = [offence for path in sorted((ROOT / folder).rglob("*.py")) for offence in rule(_parsed(path))]
    assert not offences, "\n".join([rule.__doc__, *offences])


LONG = "def f():\n" + "    x = 1\n" * 40
OFFENCES = [
    (imports_go_down, "features/x.py", "def f():\n    from index import y\n", [2]),
    (imports_go_down, "index/x.py", "import embedder.job\nimport features\nimport index.kinds\n", [1]),
    (imports_go_down, "frieze/x.py", "from embedder import y\nfrom index import z\n", []),
    (only_public_names, "index/x.py", "from features import top_k, part_name\n", [1]),
    (only_public_names, "index/x.py", "from features.exact import top_k\nimport features.spec\n", [1, 2]),
    (only_public_names, "index/x.py", "import features\nfeatures.top_k()\nfeatures.exact.top_k()\n", [3]),
    (only_public_names, "features/x.py", "from features.exact import _best\n", []),
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
    (each_test_states_its_rule, "tests/test_x.py", "def test_a(): ...\ndef test_b():\n    'Rule.'\n", [1]),
]
"""Rule, path, text, and the lines on which the rule must complain."""


@pytest.mark.parametrize(("rule", "path", "text", "lines"), OFFENCES)
def test_rules_bite(rule, path, text, lines):
    """Each rule complains of what it forbids, by file and line, and of nothing else."""
    found = sorted(rule(Module(Path(path), text)))
    assert [offence.split(": ")[0] for offence in found] == [f"{path}:{line}" for line in lines]


def test_every_rule_is_tried():
    """Each rule has a sample above on which it complains."""
    assert {rule for rule, _, _, lines in OFFENCES if lines} == {*ROOM_RULES, *SCRIPT_RULES, *TEST_RULES}
