"""`tracekit derived`: results that are kept with a trace."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from tracekit.cli.parameters import TRACE

if TYPE_CHECKING:
    from tracekit.derived import KeptResult


@click.command(short_help="List or clear results that are kept with a trace.")
@click.argument("run", type=TRACE)
@click.option(
    "--clear", "clearing", is_flag=True, help="Remove all of them; they are computed again when asked for."
)
@click.option("--json", "as_document", is_flag=True, help="Print one JSON object.")
def derived(run: str, clearing: bool, as_document: bool) -> None:
    """List the results of analyses and figures that are kept with the trace RUN.

    They lie in its group `derived`, or under ~/.cache/tracekit (or TRACEKIT_CACHE) where the trace cannot be
    written. A result is fresh if it would be taken as it is, and stale if it would be computed again: then
    the table says what has changed. The column "holds" gives the bytes of a result in memory, or a number
    of `tracekit table` itself.

    \b
    Examples:
      tracekit derived run.zarr
      tracekit derived run.zarr --clear
    """
    from tracekit.cli.output import as_json, print_table
    from tracekit.derived import clear_derived, list_derived

    if clearing:
        click.echo(f"{clear_derived(run)} results removed.")
        return
    found = list_derived(run)
    if as_document:
        click.echo(as_json({"results": [dataclasses.asdict(result) for result in found]}))
        return
    if not found:
        click.echo(f"{run}: nothing is kept.")
        return
    rows = [(r.name, _parameters(r), r.written, _holds(r), _state(r)) for r in found]
    print_table(("name", "parameters", "written", "holds", "state"), rows)


def _parameters(result: KeptResult) -> str:
    return ", ".join(f"{name}={value}" for name, value in result.parameters.items())


def _holds(result: KeptResult) -> str:
    from tracekit.cli.output import size, text

    return size(result.n_bytes) if result.number is None else text(result.number)


def _state(result: KeptResult) -> str:
    return f"stale: {'; '.join(result.stale)}" if result.stale else "fresh"
