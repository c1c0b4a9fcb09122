"""The command line: imports the command that runs, and turns errors into exit codes."""

import contextlib
import difflib
import importlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from frieze.cli.options import complete_files

if TYPE_CHECKING:
    from frieze.core import InputError

_COMMANDS = {
    "look": "Look at a folder of pictures in the browser.",
    "embed": "Embed every image of a source once.",
    "import": "Import vectors made elsewhere into a table of features.",
    "info": "Describe a folder.",
    "verify": "Verify files, hashes and contents of a folder.",
    "index": "Build a FAISS index over a table of features.",
    "search": "Find the most similar images.",
    "duplicates": "Find copies of images, confirmed on the pixels, and move them away.",
    "audit": "Find labels that are likely wrong.",
    "label": "Make a head of class names in words, without training.",
    "train": "Train a head on stored features.",
    "finetune": "Train the top of a backbone, starting from a head.",
    "compare": "Rank heads over several tables of the same images.",
    "evaluate": "Measure a head on a table of features.",
    "predict": "Predict the labels of features or of new images.",
    "drift": "Tell whether images are still like those a head was trained on.",
    "export": "Write a head with its backbone as one model, or a table for other programs.",
    "neighbours": "Write the k-NN graph of a table: the nearest others of each image.",
    "map": "Draw the images as points on a plane, as one page.",
    "serve": "Open a page: search, classes, duplicates, a map.",
    "backbones": "List the named backbones.",
    "cache": "List the compiled backbones that are kept.",
    "config": "List the defaults that variables and files set.",
}
"""Command -> help. Each is a module of `frieze.cli.commands`, imported only when it runs."""
_KEYWORDS = {"import": "import_vectors"}
"""Commands named like a Python keyword -> their module and function."""

_INPUT_ERROR, _INTERRUPTED = 1, 130


class _Commands(click.Group):
    """The group of commands: lists them without importing them, and handles their errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """List the commands in the order of work."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        name = _KEYWORDS.get(cmd_name, cmd_name)
        command: click.Command = getattr(importlib.import_module(f"frieze.cli.commands.{name}"), name)
        complete_files(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; suggest those of a similar name where there is none.

        Raises:
            UsageError: There is none.
        """
        near = difflib.get_close_matches(args[0], _COMMANDS, n=2)
        if near and args[0] not in _COMMANDS:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {' or '.join(near)}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click's signature
        """Write the list for `frieze --help` from the table."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line; report a full disk behind stdout, and ignore a reader that has gone."""
        # Before FAISS is loaded: by default its threads spin while they wait, which stalls on busy cores (measured:
        # a quantiser trained in 1 s, not in 12 to 50).
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        try:
            return super().main(*args, **extra)
        except OSError as error:
            from frieze import terminal

            if not terminal.stdout_is_broken():
                raise
            terminal.discard_output(sys.stdout)
            terminal.show_message(f"Error: stdout can't be written: {error.strerror}.", is_error=True)
            sys.exit(_INPUT_ERROR)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an `InputError` ends with exit code 1, Ctrl-C with 130."""
        # Pillow warns of large images and broken metadata. Only here: a program that imports us keeps its own filters.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            with _logs_on_stderr(lambda text: self._to_options(ctx, text)[0]):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))  # a second Ctrl-C ends at once
            click.echo("Stopped. Nothing that was stored is lost: type the same command again.", err=True)
            ctx.exit(_INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise  # click exits by itself
        except Exception as error:
            from frieze.core import InputError  # here, so that --help does not wait for NumPy

            if not isinstance(error, InputError):
                raise
            self._show_error(ctx, error)
            ctx.exit(_INPUT_ERROR)

    def _show_error(self, ctx: click.Context, error: "InputError") -> None:
        """Print an error of the library."""
        from frieze import terminal
        from frieze.core import InputError

        message, hint = self._to_options(ctx, error.message, error.hint)
        terminal.show_error(InputError(message, hint=hint))

    def _to_options(self, ctx: click.Context, *texts: str) -> tuple[str, ...]:
        """Replace parameters in texts of the library by the command's options, or else by another one's."""
        from frieze.cli.parameter_names import to_flags

        arguments: set[str] = set()  # of the command that ran: options of others of that name are something else
        for name in (ctx.invoked_subcommand or "", *_COMMANDS):
            command = self.get_command(ctx, name) if "`" in "".join(texts) else None
            if command is not None:
                texts = tuple(to_flags(text, command, kept=arguments) for text in texts)
            if command is not None and name == ctx.invoked_subcommand:
                arguments = {one.name or "" for one in command.params if isinstance(one, click.Argument)}
        return texts


class _StderrHandler(logging.Handler):
    """Prints what the library logs, as messages of the command.

    Args:
        to_options: Replaces the library's parameters in a message by options.
    """

    def __init__(self, to_options: Callable[[str], str]) -> None:
        super().__init__()
        self._to_options = to_options

    def emit(self, record: logging.LogRecord) -> None:
        from frieze import terminal  # here, so that --help does not wait for NumPy

        text = self._to_options(record.getMessage())
        if record.name == terminal.NOTES.name:
            terminal.show_note(text)
        else:
            terminal.show_message(text, is_error=record.levelno >= logging.ERROR)


@contextlib.contextmanager
def _logs_on_stderr(to_options: Callable[[str], str]) -> Iterator[None]:
    log, handler = logging.getLogger("frieze"), _StderrHandler(to_options)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: frieze embed photos --out photos.features",
)
@click.version_option(package_name="frieze", prog_name="frieze")
@click.pass_context
def main(context: click.Context) -> None:
    """Image collections into stored embeddings, searches and trained heads."""
    name = context.invoked_subcommand
    if name is None or name == "config" or {"-h", "--help"}.intersection(context.args):
        return
    from frieze.cli.settings import read_settings, to_default_map

    command = context.command.get_command(context, name) if isinstance(context.command, click.Group) else None
    if command is not None:
        settings = read_settings(command, name, tuple(_COMMANDS))
        context.default_map = {name: to_default_map(settings, command, name)}
