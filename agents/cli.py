"""`npsflow`, the command line: finds the command that is called, and prints an error as one line."""

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from npsflow.agents.runtime import interrupts
from npsflow.schemas.errors import NpsflowError

COMMANDS = {
    "demo": ("npsflow.agents.commands.demo:demo", "Run the whole system on sample data."),
    "broker": ("npsflow.agents.commands.broker:broker", "Run a real Kafka, one node, until Ctrl-C."),
    "topics": ("npsflow.agents.commands.topics:topics", "Create or list the topics."),
    "worker": ("npsflow.agents.commands.worker:worker", "Classify responses, count and alert, until Ctrl-C."),
    "intake": ("npsflow.agents.commands.intake:intake", "Take webhooks of survey platforms, until Ctrl-C."),
    "fetch": ("npsflow.agents.commands.fetch:fetch", "Fetch answers that webhooks do not hold, until Ctrl-C."),
    "notify": ("npsflow.agents.commands.notify:notify", "Tell teams what happens to cases, until Ctrl-C."),
    "produce": ("npsflow.agents.commands.produce:produce", "Send responses from a file or standard input."),
    "import": ("npsflow.agents.commands.import_:import_", "Send the export of a survey platform: its history."),
    "alerts": ("npsflow.agents.commands.alerts:alerts", "Show alerts about unhappy customers."),
    "cases": ("npsflow.agents.commands.cases:cases", "Show cases: whom to call, and by when."),
    "act": ("npsflow.agents.commands.act:act", "Say what was done about a case."),
    "board": ("npsflow.agents.commands.board:board", "Serve cases over HTTP, until Ctrl-C."),
    "windows": ("npsflow.agents.commands.windows:windows", "Show scores by segment and window."),
    "history": ("npsflow.agents.commands.history:history", "Show how scores went, day by day."),
    "dlq": ("npsflow.agents.commands.dlq:dlq", "List, show, mend, replay or accept dead letters."),
    "forget": ("npsflow.agents.commands.forget:forget", "Remove what is known of a customer."),
    "seal": ("npsflow.agents.commands.seal:seal", "Seal responses that others produce, until Ctrl-C."),
    "check": ("npsflow.agents.commands.check:check", "Say what is wrong with settings, topics and readers."),
    "rebuild": ("npsflow.agents.commands.rebuild:rebuild", "Make the state anew from the responses."),
    "completion": ("npsflow.agents.commands.completion:completion", "Let a shell complete by Tab."),
    "schemas": ("npsflow.agents.commands.schemas:schemas", "Export JSON Schemas and AsyncAPI."),
}
"""Name to (module:attribute, help text): so `npsflow --help` imports no command and no Kafka client."""


class Commands(click.Group):
    """The group of all commands: imports the one that is called, and turns errors into one line and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        ctx.call_on_close(interrupts.interrupt_command())
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command without importing any, and options of this group."""
        names = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return names or click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write names and help of all commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's, which prints --help and --version here. Ends as `invoke`."""
        with _one_line():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was called. Ends with one line for an error of ours or of the system's files."""
        with _one_line():
            return super().invoke(ctx)


@contextmanager
def _one_line() -> Iterator[None]:
    """End the command by what ends the block."""
    try:
        yield
    except NpsflowError as error:
        _end(error, str(error), 2 if error.lasting else 1)
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever read our output has enough: click ends without a word
            raise
        _end(error, _explain(error), 2 if error.filename is not None or error.errno in _FULL else 1)
    except KeyboardInterrupt:
        sys.exit(interrupts.INTERRUPTED)
    except click.Abort as abort:
        if isinstance(abort.__context__, KeyboardInterrupt):  # at a question
            sys.exit(interrupts.INTERRUPTED)
        raise


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def _explain(error: OSError) -> str:
    reason = error.strerror or str(error)
    return reason if error.filename is None else f"{error.filename} cannot be used: {reason}"


def _end(error: Exception, text: str, status: int) -> NoReturn:
    failure = click.ClickException(text)
    failure.exit_code = status
    raise failure from error


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="npsflow")
def main() -> None:
    """Survey responses on Kafka: classified, counted in rolling windows, and an alert for each unhappy customer.

    NPSFLOW_BROKERS says where Kafka is (127.0.0.1:9092), NPSFLOW_PREFIX what all names in it begin with, NPSFLOW_CONFIG
    where the settings are (./npsflow.toml), NPSFLOW_SASL_* and NPSFLOW_TLS_* how to get in: see the README.
    """
    # Commands report errors themselves. Without a handler, logging would print those of Kafka's client as well.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())


if __name__ == "__main__":
    main()
