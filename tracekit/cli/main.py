"""The command `tracekit`: a group whose commands are plug-ins."""

from __future__ import annotations

import sys

import click

from tracekit import plugins
from tracekit.cli.parameters import require_known
from tracekit.errors import PluginError, TracekitError


class Plugins(click.Group):
    """Commands found through entry points; one that is broken says so, and does not hide the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names; nothing is loaded."""
        return list(plugins.names("tracekit.commands"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command, or None where there is none of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        try:
            command = plugins.load("tracekit.commands", cmd_name)
        except PluginError as error:
            click.echo(f"Warning: {error}", err=True)
            return None
        if not isinstance(command, click.Command):
            click.echo(f"Warning: tracekit.commands: {cmd_name!r} is not a click command", err=True)
            return None
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name, or say what was perhaps meant."""
        require_known(ctx, self.list_commands(ctx), args[0], what="command")
        return super().resolve_command(ctx, args)


@click.command(cls=Plugins, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tracekit-ml", prog_name="tracekit")
def cli() -> None:
    """Record training runs into traces, and analyse them.

    \b
    A first look:
      tracekit demo                          train two small models, analyse, draw
      tracekit show demo/cyclic.zarr         what is in a trace
      tracekit analyze recovery demo/cyclic.zarr
      tracekit figures demo/*.zarr --out figures

    \b
    Your own run:
      tracekit train examples/cyclic_gpt_neox.yaml --out run.zarr
      tracekit train examples/cyclic_gpt_neox.yaml training.order=shuffled --out shuffled.zarr

    \b
    Exit status: 0 if it was done, 1 if it could not be, 2 if the command line makes no sense.
    Completion: eval "$(_TRACEKIT_COMPLETE=bash_source tracekit)"   (or zsh_source, fish_source)
    """


def main() -> None:
    """Run the command line; errors that we raise on purpose end in a message, not in a traceback."""
    try:
        cli()
    except (TracekitError, OSError) as error:  # an OSError: a full disk behind stdout, say
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
