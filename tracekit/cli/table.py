"""`tracekit table`: numbers of many runs, by configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracekit import plugins
from tracekit.cli.computing import FRESH, NO_CACHE, SCHEDULER
from tracekit.cli.parameters import TRACE
from tracekit.outputs import require_ending

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_METRICS = ("recovery", "final-recovery", "forgetting", "final-loss")


@click.command(short_help="Tabulate numbers of many runs by configuration.")
@click.argument("runs", nargs=-1, required=True, type=TRACE, metavar="RUN...")
@click.option("--by", default="", metavar="NAME,…", help="Settings to group by; a row for each run if none.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="A number of each run; may be given several times.",
)
@click.option(
    "--out",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Also write to a file: .csv, .parquet or .tex; may be given several times.",
)
@click.option("--json", "as_document", is_flag=True, help="Print one JSON object.")
@click.option("--skip-damaged", is_flag=True, help="Leave out what is damaged, and name it.")
@SCHEDULER
@FRESH
@NO_CACHE
def table(
    runs: tuple[str, ...],
    *,
    by: str,
    metrics: tuple[str, ...],
    files: tuple[Path, ...],
    as_document: bool,
    skip_damaged: bool,
    scheduler: str | None,
    fresh: bool,
    no_cache: bool,
) -> None:
    """Tabulate numbers of the traces RUN: means and standard deviations over the runs of each configuration.

    RUN may be a glob in quotes, which also works for URLs. Settings to group by are model_size, optimizer,
    seed, order and status, and all that differ between the runs, such as training.optimizer.learning_rate.
    `tracekit list` names the metrics. The numbers of a run are kept with it, so that they are measured once.

    \b
    Examples:
      tracekit table runs/*.zarr --by optimizer,order
      tracekit table 's3://bucket/runs/*.zarr' --by order --metric recovery --out table.csv
      tracekit table runs/*.zarr --by model_size --metric recovery --metric forgetting --out table.tex
    """
    from tracekit.cli.computing import computing
    from tracekit.cli.progress import tracked
    from tracekit.collection.numbers import numbers_of_runs
    from tracekit.collection.tables import DOUBTFUL, ENDINGS, summary, warnings_of, write_table

    for file in files:
        require_ending(file, ENDINGS)
    chosen = [plugins.load("tracekit.metrics", name) for name in dict.fromkeys(metrics or DEFAULT_METRICS)]
    with computing(scheduler):
        numbers = numbers_of_runs(
            runs,
            chosen,
            skip_damaged=skip_damaged,
            kept=not no_cache,
            fresh=fresh,
            shown=partial(tracked, "opening runs"),
        )
    found = summary(numbers, [name.strip() for name in by.split(",") if name.strip()])
    for file in files:
        write_table(found, file)
    notes = [*_notes(numbers.attrs), *warnings_of(chosen, numbers.attrs[DOUBTFUL])]
    _print(found, notes, as_document=as_document)


def _print(found: pd.DataFrame, notes: list[str], *, as_document: bool) -> None:
    from tracekit.cli.output import as_json, print_table

    if as_document:
        click.echo(as_json({"rows": found.to_dict("records"), "notes": notes}))
        return
    print_table(*_shown(found))
    for note in notes:
        click.echo(note)


def _shown(found: pd.DataFrame) -> tuple[list[str], list[list[Any]]]:
    """Write a mean and its standard deviation into one column."""
    from tracekit.cli.output import text
    from tracekit.collection.tables import SPREAD

    shown = found.copy()
    for name in [str(column) for column in found.columns if f"{column}{SPREAD}" in found.columns]:
        pairs = zip(found[name], found[f"{name}{SPREAD}"], strict=True)
        shown[name] = [text(mean) if math.isnan(sd) else f"{text(mean)} ± {text(sd)}" for mean, sd in pairs]
        shown = shown.drop(columns=f"{name}{SPREAD}")
    return [str(column) for column in shown.columns], shown.values.tolist()


def _notes(facts: Mapping[str, Any]) -> list[str]:
    """Name the runs that are not whole, since a mean over them is not one over whole runs."""
    counted = "1 run" if facts["n_runs"] == 1 else f"{facts['n_runs']} runs"
    notes = [f"{counted}. Of several runs: mean ± standard deviation over runs."]
    for name, words in (("incomplete", "Not complete"), ("damaged", "Damaged"), ("left_out", "Left out")):
        for run, what in facts.get(name, {}).items():
            notes.append(f"{words}: {run}: {what}")
    return notes
