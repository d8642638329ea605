"""`tracekit train`: train a run, and record it."""

from __future__ import annotations

from pathlib import Path

import click

from tracekit.cli.parameters import TRACE


@click.command(short_help="Train a run as configured, and record it.")
@click.argument("configuration", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", required=True, type=TRACE, help="Where the trace will lie, a path or URL.")
@click.option("--overwrite", is_flag=True, help="Replace the trace that is there.")
@click.option("--ignore-space", is_flag=True, help="Start even if the trace may not fit on the disk.")
def train(
    configuration: Path, overrides: tuple[str, ...], out: str, overwrite: bool, ignore_space: bool
) -> None:
    """Train a run as CONFIGURATION (YAML or TOML) says, and record it into a trace.

    Settings can be replaced on the command line by their dotted name; values are written as in YAML.

    \b
    Examples:
      tracekit train examples/cyclic_gpt_neox.yaml --out run.zarr
      tracekit train examples/toy.yaml training.epochs=3 seed=1 --out toy.zarr
      tracekit train examples/toy.yaml --out s3://bucket/runs/toy.zarr
    """
    from tracekit.cli.runs import read_configuration, record_run
    from tracekit.cli.show import describe

    settings = read_configuration(configuration, overrides)
    record_run(settings, out, label=out, overwrite=overwrite, ignore_space=ignore_space)
    describe(out)
    click.echo(f"\nNext: tracekit analyze recovery {out}   or: tracekit figures {out} --out figures")
