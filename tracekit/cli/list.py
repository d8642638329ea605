"""`tracekit list`: the plug-ins there are."""

from __future__ import annotations

from typing import Any, get_args

import click

from tracekit import plugins
from tracekit.errors import PluginError

NOT_AVAILABLE = "not available: "


@click.command("list", short_help="List recorders, analyses, metrics, figures and commands.")
@click.option("--json", "as_document", is_flag=True, help="Print one JSON object.")
def list_plugins(as_document: bool) -> None:
    """List what there is to record, analyse and draw with, built in or brought by other packages.

    A package brings its own through the entry-point groups tracekit.recorders, tracekit.analyses,
    tracekit.metrics, tracekit.figures and tracekit.commands.

    \b
    Examples:
      tracekit list
      tracekit list --json
    """
    from tracekit.cli.output import as_json, print_table

    found = [
        {"group": group.removeprefix("tracekit."), "name": name, "summary": _summary(group, name)}
        for group in get_args(plugins.Group)
        for name in plugins.names(group)
    ]
    if as_document:
        click.echo(as_json({"plugins": found}))
        return
    print_table(("group", "name", "what it does"), [tuple(row.values()) for row in found])
    if any(row["summary"].startswith(NOT_AVAILABLE) for row in found):
        click.echo("Recorders need torch, which comes with the `train` extra of tracekit-ml.")


def _summary(group: plugins.Group, name: str) -> str:
    """Give one line on a plug-in, or why it cannot be used."""
    try:
        plugin: Any = plugins.load(group, name)
    except PluginError as error:
        return f"{NOT_AVAILABLE}{error.__cause__ or error}"
    words = getattr(plugin, "summary", None) or getattr(plugin, "short_help", None) or plugin.__doc__ or ""
    return str(words).strip().split("\n")[0]
