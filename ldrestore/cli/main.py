"""The `ldrestore` command: its sub-commands, global options, and what an error looks like.

Exit codes: 0 done; 1 some inputs failed; 2 wrong call; 130 interrupted.
"""

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ldrestore import __version__
from ldrestore.cli.app import APP_EXAMPLES, app_command
from ldrestore.cli.assemble import ASSEMBLE_EXAMPLES, assemble_command
from ldrestore.cli.bench import BENCH_EXAMPLES, BenchCall
from ldrestore.cli.call_start import whole_process
from ldrestore.cli.console import one_line_warnings, say
from ldrestore.cli.convert import CONVERT_EXAMPLES, convert_command
from ldrestore.cli.degrade import DEGRADE_EXAMPLES, degrade_command
from ldrestore.cli.doctor import DOCTOR_EXAMPLES, doctor_command
from ldrestore.cli.explain import EXPLAIN_EXAMPLES, ExplainCall, explained_options
from ldrestore.cli.export import EXPORT_EXAMPLES, export_command
from ldrestore.cli.fetch import FETCH_EXAMPLES, fetch_command
from ldrestore.cli.guide import GUIDE_EXAMPLES, guide_command
from ldrestore.cli.info import INFO_EXAMPLES, info_command
from ldrestore.cli.models import MODELS_EXAMPLES, models_command
from ldrestore.cli.push import PUSH_EXAMPLES, push_command
from ldrestore.cli.replay import REPLAY_EXAMPLES, replay_command
from ldrestore.cli.restore import RESTORE_EXAMPLES, RestoreCall
from ldrestore.cli.score import SCORE_EXAMPLES, score_command
from ldrestore.cli.track_options import with_track_options
from ldrestore.cli.train import TRAIN_EXAMPLES, train_command
from ldrestore.errors import FULL_ERRORS, InputError, LDRestoreError


class _Commands(TyperGroup):
    """The group of all commands; the one place where errors become messages and exit codes."""

    def invoke(self, ctx: Any) -> Any:  # click's context or typer's own, by the version
        """Run the command that was named.

        Raises:
            Exit: with the code of a failed or interrupted command.
            LDRestoreError: as it came, under --debug.
        """
        try:
            with one_line_warnings():
                call = super().invoke(ctx)
                return call.run() if isinstance(call, (RestoreCall, ExplainCall, BenchCall)) else call
        except KeyboardInterrupt:
            say("interrupted; what was finished is whole, nothing is half-written")
            raise typer.Exit(130) from None
        except LDRestoreError as error:
            if ctx.params["debug"]:
                raise
            say(f"error: {error}")
            raise typer.Exit(2 if isinstance(error, InputError) else 1) from error
        except OSError as error:  # a path that the system refuses: too long a name, a folder that may not be entered
            if ctx.params["debug"] or error.filename is None:
                raise
            say(f"error: {error.filename}: {error.strerror}; check the path and its permissions")
            raise typer.Exit(1) from error


def _print_version(is_asked: bool) -> None:
    """Print the version and stop."""
    if is_asked:
        print(f"ldrestore {__version__}")
        raise typer.Exit()


def configure(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="LDRESTORE_DEBUG", help="Show tracebacks and the library's own messages.")
    ] = False,
) -> None:
    """Restore damaged pictures: noise, blur, rain, snow, haze, drops, darkness, compression.

    `ldrestore COMMAND --help` explains each command. Exit codes: 0 done, 1 some inputs failed (each is named with its
    reason, the others are done), 2 wrong call, 130 interrupted.
    """
    if debug:
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
        logging.getLogger("ldrestore").setLevel(logging.DEBUG)
    else:  # read when the package of the Hub is imported: without it, each retry without a connection is two lines
        os.environ.setdefault("HF_HUB_VERBOSITY", "error")


def make_app() -> typer.Typer:
    """The command line, with the options of all tracks that are registered by now."""
    app = typer.Typer(
        name="ldrestore",
        cls=_Commands,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(configure)
    app.command("restore", epilog=RESTORE_EXAMPLES)(with_track_options(RestoreCall))
    app.command("degrade", epilog=DEGRADE_EXAMPLES)(degrade_command)
    app.command("train", epilog=TRAIN_EXAMPLES)(train_command)
    app.command("assemble", epilog=ASSEMBLE_EXAMPLES)(assemble_command)
    app.command("convert", epilog=CONVERT_EXAMPLES)(convert_command)
    app.command("guide", epilog=GUIDE_EXAMPLES)(guide_command)
    app.command("export", epilog=EXPORT_EXAMPLES)(export_command)
    app.command("explain", epilog=EXPLAIN_EXAMPLES)(with_track_options(ExplainCall, explained_options()))
    app.command("score", epilog=SCORE_EXAMPLES)(score_command)
    app.command("bench", epilog=BENCH_EXAMPLES)(BenchCall)
    app.command("replay", epilog=REPLAY_EXAMPLES)(replay_command)
    app.command("push", epilog=PUSH_EXAMPLES)(push_command)
    app.command("fetch", epilog=FETCH_EXAMPLES)(fetch_command)
    app.command("models", epilog=MODELS_EXAMPLES)(models_command)
    app.command("doctor", epilog=DOCTOR_EXAMPLES)(doctor_command)
    app.command("info", epilog=INFO_EXAMPLES)(info_command)
    app.command("app", epilog=APP_EXAMPLES)(app_command)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; None takes those of the process.

    Returns:
        Exit code: 0 done, 1 some inputs failed, 2 wrong call, 130 interrupted.
    """
    code = 0
    try:
        try:
            with whole_process() if arguments is None else contextlib.nullcontext():
                make_app()(None if arguments is None else list(arguments), prog_name="ldrestore")
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        sys.stdout.flush()  # here a disk that is full can be told of, later no more
    except OSError as error:
        if error.errno not in FULL_ERRORS | {errno.EPIPE}:
            raise
        if error.errno != errno.EPIPE:  # whoever closed a pipe wants no more words
            say(f"error: {error.strerror}; make room, or write elsewhere")
        with contextlib.suppress(OSError):  # no file at all
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what was not written is not tried again
        return code or 1
    return code


if __name__ == "__main__":
    sys.exit(main())
