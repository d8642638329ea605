"""`tracekit demo`: the whole way, from training to figures, in a few minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracekit import plugins
from tracekit.cli.runs import NEEDS_TRAIN
from tracekit.errors import PluginError, TraceError, TraceExistsError

if TYPE_CHECKING:
    from tracekit.training import Configuration

ORDERS = ("cyclic", "shuffled")

DEMO: dict[str, Any] = {
    "seed": 0,
    "recorders": [
        {"kind": "losses"},
        {"kind": "weights"},
        {"kind": "gradients", "select": "gpt_neox.layers.3.*"},
        {"kind": "task_gradients", "every": 16, "select": "gpt_neox.layers.3.*"},
        {
            "kind": "activations",
            "modules": ["gpt_neox.layers.*.mlp", "gpt_neox.final_layer_norm"],
            "probes": list(range(8)),
        },
    ],
}


@click.command(short_help="Train two small models, analyse their traces, draw figures.")
@click.option(
    "--out", default="demo", show_default=True, type=click.Path(path_type=Path), help="Folder for all of it."
)
def demo(out: Path) -> None:
    """See anticipatory recovery in a few minutes.

    Trains a small GPT-NeoX from random weights on 16 documents of the Python language reference, once in
    cyclic and once in shuffled order, and records losses, weights, gradients and activations into
    OUT/cyclic.zarr and OUT/shuffled.zarr. Then, from these traces alone, prints recovery scores of both
    orders with confidence intervals and the test between them, and draws figures into OUT/figures. A run
    that is there already, complete, is not trained again, and one that was cut off goes on.

    \b
    Examples:
      tracekit demo
      tracekit demo --out somewhere
    """
    started = time.monotonic()
    paths = {order: out / f"{order}.zarr" for order in ORDERS}
    for order, path in paths.items():
        _ensure_run(_configuration(order), path, order)
    _print_numbers(paths)
    _draw(paths, out / "figures")
    click.echo(
        f"\nDone in {time.monotonic() - started:.0f} s. Traces: {paths['cyclic']}, {paths['shuffled']}; "
        f"figures: {out / 'figures'}. Try next: tracekit show {paths['cyclic']}"
    )


def _configuration(order: str) -> Configuration:
    from tracekit.cli.progress import waiting

    try:
        with waiting("loading torch and transformers"):
            from tracekit.training import parse_configuration
    except ImportError as error:
        raise PluginError(f"{NEEDS_TRAIN} ({error})") from error
    # one thread is as fast for a model this small, and leaves a core to the writer
    return parse_configuration({**DEMO, "training": {"order": order, "threads": 1}})


def _ensure_run(configuration: Configuration, path: Path, order: str) -> None:
    """Train and record a run, unless it is there; go on with one that was cut off, leave others alone."""
    from tracekit.cli.runs import record_run

    status = _status(path, configuration)
    if status == "complete":
        click.echo(f"{path}: recorded already, taken as it is.")
        return
    if status == "foreign":
        raise TraceExistsError(f"{path}: there is something else here; choose another folder with --out")
    if status == "partial":
        click.echo(f"{path}: was cut off, and goes on.")
    record_run(configuration, path, label=order, resume=status == "partial")


def _status(path: Path, configuration: Configuration) -> str:
    from tracekit.reading.opening import open_trace

    if not path.exists():
        return "absent"
    try:
        facts = open_trace(path).attrs
    except TraceError:
        return "foreign"
    if facts.get("configuration") != configuration.resolved():
        return "foreign"
    return "complete" if facts["status"] == "complete" else "partial"


def _print_numbers(paths: dict[str, Path]) -> None:
    from tracekit.cli.output import print_report
    from tracekit.reading.opening import open_trace

    traces = {order: open_trace(path) for order, path in paths.items()}
    recovery = plugins.load("tracekit.analyses", "recovery")
    for trace in traces.values():
        print_report(recovery.report(recovery.build(trace).compute()))
    test = plugins.load("tracekit.analyses", "order-test")
    print_report(test.report(test.build(traces["cyclic"], traces["shuffled"]).compute()))


def _draw(paths: dict[str, Path], out: Path) -> None:
    from tracekit.cli.figures import draw_all
    from tracekit.reading.opening import open_trace

    click.echo("Figures:")
    draw_all({order: open_trace(path) for order, path in paths.items()}, out, formats=("png", "pdf"))
