"""The command line: finds a command, and turns errors into exit codes."""

import importlib
import os
import signal
import sys
import warnings
from typing import Any

import click

_COMMANDS = {
    "embed": "Turn every image of a source into an embedding, once.",
    "import": "Bring vectors made elsewhere into a table of features.",
    "info": "Say what a folder is and what is in it.",
    "verify": "Check again what was promised about a folder.",
    "index": "Build a FAISS index over a table of features.",
    "search": "Find the most similar images.",
    "duplicates": "Find the groups of images that are duplicates.",
    "audit": "Look through labels for what is likely wrong.",
    "train": "Train a head on stored features.",
    "finetune": "Train the top of a backbone from a head on its features.",
    "compare": "Rank heads over several tables of the same images.",
    "evaluate": "Measure a head on a table of features.",
    "predict": "Predict the labels of features or of new images.",
    "export": "Write a head with its backbone and preprocessing as one SavedModel.",
    "map": "Lay the images out on a plane, as one page.",
    "serve": "Open a page: search, classes, duplicates, a map.",
    "backbones": "List the backbones that can be asked for by name.",
}
"""Each stands in a module of its own below `frieze.cli.commands`, imported only when it runs."""
_KEYWORDS = {"import": "import_vectors"}
"""Commands whose module and function can't have their name, for it is a word of Python's own."""

_INPUT_ERROR, _INTERRUPTED = 1, 130


class _Commands(click.Group):
    """The group: lists without importing, runs with one place for errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """List the commands in the order of work."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        name = _KEYWORDS.get(cmd_name, cmd_name)
        command: click.Command = getattr(importlib.import_module(f"frieze.cli.commands.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click's signature
        """Write the list for `frieze --help` from the table."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line; where stdout takes no more, say so, or end quietly where its reader has gone."""
        # Before FAISS is loaded: left alone, its threads wait for each other by spinning, and where other programs work
        # on the same cores nothing gets done meanwhile (measured there: a quantiser trained in 1 s, not in 12 to 50).
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        try:
            return super().main(*args, **extra)
        except OSError as error:
            from frieze import terminal as output

            if not output.takes_no_more():
                raise
            output.silence(sys.stdout)
            output.say(f"Error: stdout can't be written: {error.strerror}.")
            sys.exit(_INPUT_ERROR)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what the user can mend ends with exit code 1, Ctrl-C with 130."""
        # Of large images and of broken metadata; a program that imports the package keeps its own filters.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))  # one more ends at once, in no other way
            click.echo("Stopped. Nothing that was stored is lost: type the same command again.", err=True)
            ctx.exit(_INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise  # click's own ways to end
        except Exception as error:
            from frieze import terminal as output
            from frieze.core import InputError  # here, so that --help does not wait for NumPy

            if not isinstance(error, InputError):
                raise
            output.show_error(error)
            ctx.exit(_INPUT_ERROR)


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: frieze embed photos --out photos.features",
)
@click.version_option(package_name="frieze", prog_name="frieze")
def main() -> None:
    """Image collections into stored embeddings, searches and trained heads."""
