"""The words of messages: the library names parameters, the command line its options."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ("features", "embedder", "index", "classifiers", "frieze")
COMMAND_LINE = ("frieze/cli/", "frieze/terminal.py")
OF_DOCUMENTS = {
    "classifiers/finetuning/finetune.py": ["--learning-rate"],
    "classifiers/training/fit.py": ["--max-memory"],
    "classifiers/training/notes.py": ["--group", "--split"],
    "embedder/images/bit_depth.py": ["--scale", "--stretch"],
    "embedder/images/tiff_bands.py": ["--bands", "--bands"],
    "embedder/images/unsupported_formats.py": ["--bands", "--scale"],
    "embedder/job/timing.py": ["--out", "--workers", "--workers"],
    "embedder/sources/archives/tfrecord.py": ["--image"],
    "features/importers/pandas_index.py": ["--id"],
    "frieze/api/exports/formats.py": ["--image", "--neighbors", "--x", "--y"],  # of embedding-atlas
    "frieze/api/verification.py": ["--force"],
}
"""File -> the options in its texts that JSON documents and stored tables hold: notes, advice, failures, problems."""
OF_COMMANDS = {
    "classifiers/storage/head_json.py": ["--balanced", "--balanced", "--force", "--out", "--{name"],
    "features/manifest.py": ["--force"],
    "frieze/core/options.py": ["--no-", "--{name", "--{name"],
}
"""File -> the options in its parts of whole commands."""
_OPTION = re.compile(r"(?<![\w-])--(?:[a-z][a-z-]*|\{\w+)")
_WHOLE_COMMAND = re.compile(r"(\b(frieze|pip|ray start)\b|\{[\w.]*(command|maker)\}).*?(?=;|, |\. [A-Z]|$)", re.DOTALL)


def options_in(code: str) -> list[str]:
    """Return the options in a module's texts, outside of docstrings and whole commands, sorted."""
    return sorted(
        option for text in _texts(ast.parse(code)) for option in _OPTION.findall(_WHOLE_COMMAND.sub("", text))
    )


def _texts(node):
    """Yield each text below a node, with the code in braces of those that are formatted."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue  # a docstring
        if isinstance(child, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
                for part in child.values
            )
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value
        yield from _texts(child) if not isinstance(child, ast.JoinedStr) else ()


def test_library_names_parameters():
    """A message of the library names `force=True`, not --force: a user of Python has no options to type."""
    files = [path for folder in LIBRARY for path in sorted((ROOT / folder).rglob("*.py"))]
    names = {path.relative_to(ROOT).as_posix(): path for path in files}
    options_of = {
        name: options_in(path.read_text(encoding="utf-8"))
        for name, path in names.items()
        if not name.startswith(COMMAND_LINE)
    }
    assert {name: options for name, options in options_of.items() if options} == OF_DOCUMENTS | OF_COMMANDS


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("raise InputError('Leave --out out.')", ["--out"]),
        ("hint = f'Use {a}, or replace {b} with --force.'", ["--force"]),
        ("hint = f'--{name} is 0.'", ["--{name"]),
        ("hint = 'Type: frieze embed X --out Y; or use --force.'", ["--force"]),
        ("hint = f'Rebuild it: {self._command} --force'", []),
        ("hint = 'frieze train ... --force'", []),
        ("def f():\n    '''Docstring of --out.'''\nX = 1\n'''Of --out, too.'''", []),
        ("hint = 'a -- b, c--d, ---'", []),
    ],
)
def test_options_in(code, options):
    """Options are found in any text but docstrings and whole commands."""
    assert options_in(code) == options
