"""Completion in shells."""

import os
import shutil
import subprocess
import sys

import pytest


def complete(shell, *arguments, **environment):
    """Return what the command prints when a shell asks it."""
    code = "import sys; sys.argv[0] = 'frieze'; from frieze.cli.main import main; main(prog_name='frieze')"
    variables = {"_FRIEZE_COMPLETE": f"{shell}_complete", "COMP_WORDS": " ".join(arguments)} | environment
    variables.setdefault("COMP_CWORD", str(len(arguments) - 1))
    line = [sys.executable, "-c", f"{code}"]
    return subprocess.run(line, env=os.environ | variables, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell(shell):
    """Each shell gets the commands that begin as typed."""
    extra = {"COMP_CWORD": "dupl"} if shell == "fish" else {}
    assert "duplicates" in complete(shell, "frieze", "dupl", **extra)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("frieze", "embed", "--precis"), "plain,--precision\n"),
        (("frieze", "index", "f", "--kind", "hn"), "plain,hnsw\n"),
        (("frieze", "embed", "pho"), "file,pho\n"),
        (("frieze", "search", "i", "--html", "pho"), "file,pho\n"),
    ],
)
def test_options_choices_and_files(arguments, expected):
    """Options and their choices are completed; names of files are left to the shell."""
    assert complete("bash", *arguments) == expected


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_in_bash(tmp_path):
    """The line of the guide makes bash complete a command."""
    script = tmp_path / "frieze"
    script.write_text(f"#!{sys.executable}\nfrom frieze.cli.main import main\nmain(prog_name='frieze')\n")
    script.chmod(0o755)
    lines = (
        f'PATH={tmp_path}:$PATH; eval "$(_FRIEZE_COMPLETE=bash_source frieze)"',
        'COMP_WORDS=(frieze dupl); COMP_CWORD=1; _frieze_completion frieze; echo "${COMPREPLY[@]}"',
    )
    done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout == "duplicates\n"
