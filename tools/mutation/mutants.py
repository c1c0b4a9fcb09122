"""Mutants: a changed constant, comparison, operator, condition or return value in one function or module constant."""

import ast
import difflib
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_SMALL = 10
_LEFT_OUT = {"annotation", "returns", "type_params", "decorator_list"}


class Mutant(NamedTuple):
    """One change of one file.

    Attributes:
        path: The file, relative to the checkout.
        owner: Function, method, class or module constant.
        line: Line number, from 1.
        text: The changed file.
        diff: The change as a unified diff without context.
    """

    path: Path
    owner: str
    line: int
    text: str
    diff: str


def draw_mutants(root: Path, folders: Sequence[str], *, seed: str, n_mutants: int) -> list[Mutant]:
    """Draw functions and module constants of some folders, evenly, then one mutant of each.

    Args:
        root: The checkout.
        folders: Folders in it; links are not followed.
        seed: Equal seeds and files have equal draws.
        n_mutants: At most so many.

    Returns:
        The mutants, in random order.
    """
    nodes: dict[tuple[Path, str], list[tuple[ast.AST, ast.AST]]] = defaultdict(list)
    for path in sorted(path for folder in folders for path in _python_files(root / folder)):
        for owner, node, variant in find_variants(path.read_text(encoding="utf-8")):
            nodes[path.relative_to(root), owner].append((node, variant))
    generator = random.Random(seed)  # noqa: S311  a draw, no secret
    drawn = generator.sample(list(nodes), min(n_mutants, len(nodes)))
    return [_mutant(root, path, owner, *generator.choice(nodes[path, owner])) for path, owner in drawn]


def _python_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            yield from _python_files(path)
        elif path.suffix == ".py":
            yield path


def find_variants(text: str) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """Yield owner, node and changed node of each mutant, without annotations, decorators, f-strings and `strict`."""
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _variants_below(statement, statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            yield from _variants_below(statement, ast.unparse(target))


def _variants_below(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    for variant in _variants(node):
        yield owner, node, variant
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            is_left_out = (
                field in _LEFT_OUT or isinstance(child, ast.JoinedStr) or getattr(child, "arg", "") == "strict"
            )
            if is_left_out or not isinstance(child, ast.AST):
                continue
            if isinstance(child, ast.FunctionDef) and isinstance(node, ast.ClassDef):
                yield from _variants_below(child, f"{owner}.{child.name}")
            else:
                yield from _variants_below(child, owner)


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Constant(value=bool() | int() | float() as value):
            yield ast.Constant(_other(value))
        case ast.Compare(left, [comparison], right):
            yield from (ast.Compare(left, [other()], right) for other in _COMPARISONS[type(comparison)])
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            yield ast.BinOp(left, _OPERATORS[type(operator)](), right)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.Return(value) if value is not None and ast.unparse(value) != "None":
            yield ast.Return(ast.Constant(None))


def _other(value: float) -> float:
    if isinstance(value, bool):
        return not value
    return value + 1 if abs(value) < _SMALL and isinstance(value, int) else 2 * value or 1.0


def _mutant(root: Path, path: Path, owner: str, node: ast.AST, variant: ast.AST) -> Mutant:
    data = (root / path).read_bytes()
    code = ast.unparse(variant)
    code = code if isinstance(node, ast.Constant | ast.Return) else f"({code})"
    start, end = (_offset(data, *at) for at in ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)))  # type: ignore[attr-defined]
    text = (data[:start] + code.encode() + data[end:]).decode()
    lines = difflib.unified_diff(data.decode().splitlines(), text.splitlines(), lineterm="", n=0)
    diff = "\n".join(line for line in list(lines)[3:])
    return Mutant(path, owner, node.lineno, text, diff)  # type: ignore[attr-defined]


def _offset(data: bytes, line: int, column: int) -> int:
    """Return where a line and a column in bytes stand in a file."""
    return sum(len(one) for one in data.splitlines(keepends=True)[: line - 1]) + column
