"""`tracekit plan`: what a run will write, before it is trained."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracekit.cli.parameters import TRACE

if TYPE_CHECKING:
    from tracekit.writing.estimate import PlannedKind

COLUMNS = ("kind", "tensors", "type", "rows", "bytes of a row", "bytes in all", "files")


@click.command(short_help="Show what a run will write, before it is trained.")
@click.argument("configuration", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", default=".", type=TRACE, help="Where the trace will lie, for the room that is left.")
@click.option("--all", "every_name", is_flag=True, help="List every tensor, also where layers are alike.")
@click.option("--json", "as_document", is_flag=True, help="Print one JSON object.")
def plan(
    configuration: Path, overrides: tuple[str, ...], out: str, every_name: bool, as_document: bool
) -> None:
    """Show what a run as CONFIGURATION says will write: which tensors at which visits, bytes and files.

    Builds the model and loads the tasks, and trains nothing. Bytes are before compression, so at most. A GPU
    that the run needs is not needed for its plan.

    \b
    Examples:
      tracekit plan examples/cyclic_gpt_neox.yaml --out run.zarr
      tracekit plan examples/cyclic_gpt_neox.yaml training.epochs=100 --json
    """
    from tracekit.cli.output import as_json, print_table, size
    from tracekit.cli.progress import waiting
    from tracekit.cli.runs import make_recorders, read_configuration
    from tracekit.writing.estimate import free_bytes, planned_kinds

    settings = read_configuration(configuration, overrides)
    with waiting("preparing documents and model"):
        from tracekit.training import prepare

        on_cpu = settings.training.model_copy(update={"device": "cpu"})  # which every machine has
        run = prepare(settings.model_copy(update={"training": on_cpu}))
    kinds = planned_kinds(run, make_recorders(settings))
    total, free = sum(kind.total_bytes for kind in kinds), free_bytes(out)
    if as_document:
        facts = {"snapshots": run.plan.n_visits + 1, "total_bytes": total, "free_bytes": free}
        click.echo(as_json({**facts, "fits": total <= free, "kinds": [asdict(kind) for kind in kinds]}))
        return
    print_table(COLUMNS, map(_row, kinds))
    for kind in kinds:
        if kind.fields:
            _print_tensors(kind, every_name)
    click.echo(
        f"{run.plan.n_visits + 1} snapshots, at most {size(total)} in all; "
        + (f"{size(free)} are free at {out}" if math.isfinite(free) else f"{out} has no limit that is known")
        + ("" if total <= free else ": it may not fit, and `tracekit train` refuses it")
    )


def _row(kind: PlannedKind) -> tuple[str | int, ...]:
    from tracekit.cli.output import size

    in_bytes = (size(kind.row_bytes), size(kind.total_bytes))
    return (kind.kind, kind.tensors, kind.dtype, kind.rows, *in_bytes, kind.files)


def _print_tensors(kind: PlannedKind, every_name: bool) -> None:
    """Print what one kind holds: its tensors, those of like layers in one line, and its visits."""
    from tracekit.cli.folding import fold, stretches
    from tracekit.cli.output import print_table

    folded = (
        [(field.name, 1, field.shape, field.size) for field in kind.fields]
        if every_name
        else fold(kind.fields)
    )
    rows = [
        (name, count, " × ".join(map(str, shape)) or "1", elements) for name, count, shape, elements in folded
    ]
    title = f"{kind.kind}, at {kind.sample}s {stretches(kind.samples) or 'none'}"
    print_table(("tensor", "count", "shape", "elements"), rows, title=title)
