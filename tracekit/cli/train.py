"""`tracekit train`: train a run, and record it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Train a run as configured, and record it.")
@click.argument("configuration", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where the trace will lie.")
@click.option("--overwrite", is_flag=True, help="Replace the trace that is there.")
def train(configuration: Path, overrides: tuple[str, ...], out: Path, overwrite: bool) -> None:
    """Train a run as CONFIGURATION (YAML or TOML) says, and record it into a trace.

    Settings can be replaced on the command line by their dotted name; values are written as in YAML.

    \b
    Examples:
      tracekit train examples/cyclic_gpt_neox.yaml --out run.zarr
      tracekit train examples/toy.yaml training.epochs=3 seed=1 --out toy.zarr
    """
    from tracekit.cli.runs import read_configuration, record_run
    from tracekit.cli.show import describe

    record_run(read_configuration(configuration, overrides), out, label=str(out), overwrite=overwrite)
    describe(out)
    click.echo(f"\nNext: tracekit analyze recovery {out}   or: tracekit figures {out} --out figures")
