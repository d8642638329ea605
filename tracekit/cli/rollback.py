"""`tracekit rollback`: drop the last visits of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tracekit.cli.parameters import TRACE

if TYPE_CHECKING:
    from tracekit.store import Store


@click.command(short_help="Drop the last visits of a trace, for good.")
@click.argument("run", type=TRACE)
@click.option("--to", "snapshots", type=click.IntRange(0), help="Snapshots to keep.")
@click.option("--force-claim", is_flag=True, help="Take the trace over from a writer that may still live.")
def rollback(run: str, snapshots: int | None, force_claim: bool) -> None:
    """Drop all but the first snapshots of the trace RUN.

    Without --to, what is kept reaches up to the last checkpoint: a run that is then resumed goes on from
    there and repeats nothing, which helps where it would not repeat itself bit by bit.

    \b
    Examples:
      tracekit rollback run.zarr --to 20
      tracekit rollback s3://bucket/runs/toy.zarr
    """
    from tracekit.format.marker import require_marker
    from tracekit.store import open_store
    from tracekit.writing.truncation import rollback as drop

    store = open_store(run)
    before = require_marker(store).committed
    if snapshots is None:
        snapshots = _last_checkpoint(store, before)
    drop(run, snapshots, force_claim=force_claim)
    click.echo(
        f"{run}: {snapshots} of {before} snapshots are kept. Go on with: tracekit train --resume {run}"
    )


def _last_checkpoint(store: Store, committed: int) -> int:
    """Give the snapshots up to the last checkpoint; without one, what is to be kept must be said."""
    from tracekit.format.checkpoints import usable_checkpoints

    numbers = usable_checkpoints(store, committed)
    if not numbers:
        raise click.UsageError(
            f"{store.url}: has {committed} snapshots and no checkpoint; say with --to how many to keep"
        )
    return numbers[-1] + 1
