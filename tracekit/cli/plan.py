"""`tracekit plan`: what a run will write, before it is trained."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import click

from tracekit.cli.parameters import TRACE


@click.command(short_help="Show what a run will write, before it is trained.")
@click.argument("configuration", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", default=".", type=TRACE, help="Where the trace will lie, a path or URL.")
@click.option("--json", "as_document", is_flag=True, help="Print one JSON object.")
def plan(configuration: Path, overrides: tuple[str, ...], out: str, as_document: bool) -> None:
    """Show what a run as CONFIGURATION says will write: tensors, visits, bytes and files of each kind.

    Builds the model and loads the tasks, and trains nothing. Bytes are before compression, so at most.

    \b
    Examples:
      tracekit plan examples/cyclic_gpt_neox.yaml --out run.zarr
      tracekit plan examples/cyclic_gpt_neox.yaml training.epochs=100 --json
    """
    from tracekit.cli.output import as_json, print_table, size
    from tracekit.cli.runs import make_recorders, read_configuration
    from tracekit.estimate import free_bytes, planned_kinds
    from tracekit.training import prepare

    settings = read_configuration(configuration, overrides)
    run = prepare(settings)
    kinds = planned_kinds(run, make_recorders(settings))
    total, free = sum(kind.total_bytes for kind in kinds), free_bytes(out)
    if as_document:
        facts = {"snapshots": run.plan.n_visits + 1, "total_bytes": total, "free_bytes": free}
        click.echo(as_json({**facts, "fits": total <= free, "kinds": [asdict(kind) for kind in kinds]}))
        return
    rows = [
        (
            kind.kind,
            kind.tensors,
            kind.dtype,
            kind.rows,
            size(kind.row_bytes),
            size(kind.total_bytes),
            kind.files,
        )
        for kind in kinds
    ]
    print_table(("kind", "tensors", "type", "rows", "bytes of a row", "bytes in all", "files"), rows)
    click.echo(
        f"{run.plan.n_visits + 1} snapshots, at most {size(total)} in all; "
        + (f"{size(free)} are free at {out}" if math.isfinite(free) else f"{out} has no limit that is known")
        + ("" if total <= free else ": it may not fit, and `tracekit train` refuses it")
    )
