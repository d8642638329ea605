"""Commands take URLs wherever they take paths of traces."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tracekit import open_trace
from tracekit.cli.figures import labelled
from tracekit.cli.main import cli
from tracekit.errors import TraceNotFoundError
from tracekit.testing.written import write_example_trace

TOY = str(Path(__file__).parents[3] / "examples" / "toy.yaml")
SMALL = ("tasks.n_tasks=3", "tasks.inputs=8", "tasks.outputs=8", "training.epochs=3", "training.device=cpu")


def tracekit(*arguments):
    """Run a command that must succeed, and give what it printed."""
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_run_from_training_to_numbers(place):
    url = f"{place}/toy.zarr"
    printed = tracekit("train", TOY, *SMALL, "--out", url)
    assert f"tracekit analyze recovery {url}" in printed

    shown = json.loads(tracekit("show", url, "--json"))
    assert (shown["status"], shown["snapshots_committed"]) == ("complete", 10)
    assert shown["path"] == url
    assert [kind["kind"] for kind in shown["kinds"]] == ["losses", "recording", "weights"]
    numbers = json.loads(tracekit("analyze", "recovery", url, "--json"))
    assert numbers
    assert open_trace(url)["weights"].sizes["visit"] == 3  # the last, too


def test_a_run_taken_back_is_resumed_to_the_same_end(place):
    url = f"{place}/toy.zarr"
    tracekit("train", TOY, *SMALL, "training.checkpoint_every=2", "--out", url)
    before = open_trace(url)["weights/flat"]["values"].values
    losses = open_trace(url)["losses"].eval_loss.values

    tracekit("rollback", url, "--to", "6")
    assert open_trace(url)["losses"].sizes["visit"] == 6
    tracekit("train", "--resume", url)

    trace = open_trace(url)
    assert (trace.attrs["status"], trace.attrs["snapshots_committed"]) == ("complete", 10)
    assert trace["weights/flat"]["values"].values.tobytes() == before.tobytes()
    assert trace["losses"].eval_loss.values.tobytes() == losses.tobytes()
    assert tracekit("verify", url).endswith("No fault found.\n")


def test_figures_of_runs_in_different_stores(s3, tmp_path):
    urls = [
        write_example_trace(f"{place}/{order}.zarr", n_epochs=3, order=order)
        for place, order in ((s3, "cyclic"), (tmp_path, "shuffled"))
    ]
    tracekit("figures", *urls, "--out", str(tmp_path / "figures"), "--only", "recovery", "--format", "png")
    assert (tmp_path / "figures" / "recovery.png").stat().st_size > 1000


def test_traces_are_labelled_by_the_last_part_of_their_url(place):
    urls = [write_example_trace(f"{place}/{name}.zarr") for name in ("first", "second")]
    assert list(labelled([open_trace(url) for url in urls])) == ["first", "second"]


def test_a_trace_that_is_not_there(place):
    with pytest.raises(TraceNotFoundError, match="absent"):
        tracekit("show", f"{place}/absent.zarr")
