import ast

import pytest

from tools.mutation.mutants import draw_mutants, find_variants

VARIANTS = [
    ("x = 3", ["4"]),
    ("x = 30", ["60"]),
    ("x = 0.0", ["1.0"]),
    ("x = True", ["False"]),
    ("def f(): return g(a)", ["return None"]),
    ("def f(): return None", []),
    ("def f(): a < b", ["a <= b", "a >= b"]),
    ("def f(): a is not b", ["a is b"]),
    ("def f(): not a", ["a"]),
    ("def f(): a and b", ["a or b"]),
    ("def f(): a // b", ["a * b"]),
    ("def f(a: int | None) -> int | None: ...", []),
    ("@d(1)\ndef f(): f'{1}'", []),
    ("def f(): zip(a, strict=True)", []),
    ("import a\nif a > 1: ...", []),
]
"""Source, and what takes the place of one of its nodes in each mutant."""


@pytest.mark.parametrize(("text", "expected"), VARIANTS)
def test_variants(text, expected):
    """Each kind of node has its mutants; annotations, decorators, f-strings and a module's statements have none."""
    assert [ast.unparse(variant) for _, _, variant in find_variants(text)] == expected


def test_owners():
    """A mutant belongs to its function, its method, or its constant."""
    text = "A = 1\nclass B:\n    c: int = 2\n    def d(self):\n        def e(): 3\n"
    assert [(owner, node.value) for owner, node, _ in find_variants(text)] == [("A", 1), ("B", 2), ("B.d", 3)]


@pytest.fixture
def tree(tmp_path):
    """A checkout of two files, one of them under a link too."""
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "a.py").write_text(
        "# \u00e9\nA = '\u00e9', 1\n\ndef b(c):\n    return (c +\n            1) * 2\n"
    )
    (tmp_path / "room" / "d.py").write_text("".join(f"D{n} = {n}\n" for n in range(40)))
    (tmp_path / "frieze").mkdir()
    (tmp_path / "frieze" / "room").symlink_to("../room")
    return tmp_path


def test_draw(tree):
    """Equal seeds draw equal mutants, each of another owner; other seeds draw others; links are not followed."""
    first, same, other = (draw_mutants(tree, ["room", "frieze"], seed=seed, n_mutants=10) for seed in "xxy")
    assert first == same != other
    assert len({(mutant.path, mutant.owner) for mutant in first}) == 10
    assert len(draw_mutants(tree, ["room", "frieze"], seed="x", n_mutants=99)) == 42


def test_change(tree):
    """A mutant is the file with one node changed, and the diff shows that change; positions count bytes."""
    mutants = {mutant.owner: mutant for mutant in draw_mutants(tree, ["room"], seed="x", n_mutants=99)}
    constant, function = mutants["A"], mutants["b"]
    assert (constant.text.splitlines()[1], constant.line) == ("A = '\u00e9', 2", 2)
    assert constant.diff == "-A = '\u00e9', 1\n+A = '\u00e9', 2"
    assert function.text.startswith("# \u00e9\nA = '\u00e9', 1\n\ndef b(c):\n    return ")
    assert function.text != (tree / "room" / "a.py").read_text()
