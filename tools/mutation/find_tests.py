"""The test files of a module."""

import ast
import re
from pathlib import Path

_LINKS = {"embedder": "frieze/embedder", "classifiers": "frieze/classifiers", "features": "frieze/features"}
_LINKS["index"] = "frieze/indexing"
_STARTS_SERVERS = re.compile(r"\bray\b|playwright|\bcluster\b|\bbucket\b|schemathesis")
_N_FILES = 12


def find_tests(root: Path, path: Path) -> list[str]:
    """Find the tests of a file: its doctests, the test file that mirrors it, and those that import it.

    A test file imports it by the module's name, or by a public name of it and the package's. Test files that start
    servers (Ray, a bucket, a browser) come last; among the others the short ones that name it often come first.

    Args:
        root: The checkout.
        path: A file of a room, relative to it.

    Returns:
        What pytest is to run, relative to the checkout, at most 13 files.
    """
    folder, *rest = path.parts
    linked = Path(_LINKS.get(folder, folder), *rest)
    module = ".".join(linked.with_suffix("").parts).removesuffix(".__init__")
    names = {name for name in _public_names((root / path).read_text(encoding="utf-8")) if not name.startswith("_")}
    mirror = root / "tests" / path.parent / f"test_{path.name}"
    ranked = []
    for test in (root / "tests").rglob("test_*.py"):
        text = test.read_text(encoding="utf-8")
        if test == mirror or _imports(text, module, names):
            n_named = sum(word in names or word == path.stem for word in re.findall(r"\w+", text))
            has_servers = bool(_STARTS_SERVERS.search(text))
            ranked.append((test != mirror, has_servers, -n_named / len(text), str(test.relative_to(root))))
    doctests = [str(linked)] if ">>>" in (root / path).read_text(encoding="utf-8") else []
    return [*doctests, *(test for *_, test in sorted(ranked)[:_N_FILES])]


def _public_names(text: str) -> set[str]:
    body = ast.parse(text).body
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    named = [node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    return {node.name for node in named} | {target.id for target in targets if isinstance(target, ast.Name)}


def _imports(text: str, module: str, names: set[str]) -> bool:
    package, _, name = module.rpartition(".")
    if re.search(rf"\b{re.escape(module)}\b|from {re.escape(package)} import [^\n]*\b{name}\b", text):
        return True
    room = ".".join(module.split(".")[: 2 if module.split(".")[1] in {"core", *_ROOMS} else 1])
    return bool(re.search(rf"\b{re.escape(room)}\b", text)) and not names.isdisjoint(re.findall(r"\w+", text))


_ROOMS = {link.removeprefix("frieze/") for link in _LINKS.values()}
