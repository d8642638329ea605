"""The command line as its users meet it."""

import csv
import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from tracekit import Plan, Series, TraceWriter, open_trace, plugins
from tracekit.cli.main import cli, main
from tracekit.cli.output import print_table
from tracekit.testing.written import write_example_trace

TOY = """
seed: 3
tasks: {kind: toy, n_tasks: 4, inputs: 20, outputs: 20}
training: {epochs: 3, updates_per_visit: 2, optimizer: {learning_rate: 0.05}}
recorders:
  - {kind: losses}
  - {kind: weights, every: 2}
"""


PIPED = {"capture_output": True, "text": True}


@pytest.fixture
def runs(tmp_path):
    """Two traces that differ in their order and in what they say of the size of the model."""
    return [
        write_example_trace(
            tmp_path / f"{order}.zarr",
            n_tasks=4,
            n_epochs=4,
            order=order,
            n_probes=5,
            attributes={"model_signature": {"layer.weight": f"float32[{size}]"}},
        )
        for size, order in enumerate(("cyclic", "shuffled"), 1)
    ]


def call(*arguments, code=0):
    """Run a command in this process and give what it printed."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def fails(monkeypatch, capsys, *arguments):
    """Run a command that must end in a message, and give the message."""
    monkeypatch.setattr(sys, "argv", ["tracekit", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code != 0
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


LOADED_BY_HELP = """
import sys
from tracekit.cli.main import cli
try:
    cli(["--help"])
except SystemExit:
    print(*sys.modules)
"""


def test_help_is_there_at_once():
    """What takes time is importing; without any of these, help takes a tenth of a second."""
    done = subprocess.run([sys.executable, "-c", LOADED_BY_HELP], capture_output=True, text=True, check=True)
    *text, modules = done.stdout.splitlines()
    commands = ("demo", "train", "show", "list", "analyze", "figures")
    assert all(any(line.strip().startswith(name) for line in text) for name in commands)
    loaded = set(modules.split())
    assert {f"tracekit.cli.{name}" for name in commands} <= loaded
    assert not loaded & {"torch", "xarray", "dask", "numpy", "scipy", "matplotlib", "zarr", "pydantic"}


@pytest.mark.parametrize("command", plugins.names("tracekit.commands"))
def test_every_command_teaches(command):
    text = call(command, "--help")
    assert len(text.splitlines()) > 8
    assert "\\b" not in text, "click has not been told to keep the lines of examples"
    assert f"\n    tracekit {command}" in text, "an example on a line of its own"


def test_brackets_are_printed_as_they_are(capsys):
    """Tables are made with rich, for which words in brackets are markup."""
    print_table(("pattern",), [("layers[bold].*",)], title="of [/x] in a title that is wider than its table")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "of [/x] in a title that is wider than its table"
    assert "layers[bold].*" in printed[4]


@pytest.mark.parametrize("name", plugins.names("tracekit.analyses"))
def test_every_analysis_teaches_by_examples_that_it_takes(name):
    analysis = plugins.load("tracekit.analyses", name)
    command = plugins.load("tracekit.commands", "analyze").get_command(None, name)
    text = call("analyze", name, "--help")
    assert analysis.examples
    for example in analysis.examples:
        assert f"  tracekit analyze {name} {example}\n" in text
        command.make_context(name, shlex.split(example))


def test_a_switch_needs_no_value(runs):
    assert "Residuals of the path" in call("analyze", "trajectory", runs[0], "--residuals")
    assert "Residuals" not in call("analyze", "trajectory", runs[0], "--no-residuals")


def test_show(runs):
    text = call("show", runs[0])
    assert "losses" in text
    assert "visit 17, element 9" in text
    document = json.loads(call("show", runs[0], "--json"))
    assert document["snapshots_committed"] == 17
    assert {kind["kind"] for kind in document["kinds"]} == {
        "activations",
        "losses",
        "pairwise_recovery",
        "weights",
    }


def test_list():
    found = json.loads(call("list", "--json"))["plugins"]
    names = {(row["group"], row["name"]) for row in found}
    assert {("analyses", "recovery"), ("recorders", "weights"), ("figures", "trajectory")} <= names
    assert all(row["summary"] and "not available" not in row["summary"] for row in found)


def test_recovery_as_json(runs):
    numbers = json.loads(call("analyze", "recovery", runs[0], "--json"))
    assert (
        len(numbers["recovery_score"]) == len(numbers["interval_low"]) == len(numbers["interval_high"]) == 3
    )
    assert numbers["n_tasks"] == 4
    # the example's losses rise from 1 to 3 and fall to 2 again within each interval
    np.testing.assert_allclose(numbers["recovery_score"], 0.5)


@pytest.mark.parametrize("name", plugins.names("tracekit.analyses"))
def test_every_analysis_prints_a_table_and_json_and_writes_files(name, runs, tmp_path):
    analysis = plugins.load("tracekit.analyses", name)
    traces = runs[:1] * 2 if analysis.one_order else runs[: analysis.n_traces[1]]
    table = call("analyze", name, *traces)
    assert "┃" in table
    numbers = json.loads(call("analyze", name, *traces, "--json", "--out", tmp_path / "a.json"))
    assert json.loads((tmp_path / "a.json").read_text()) == numbers
    call("analyze", name, *traces, "--out", tmp_path / "a.csv")
    header, *rows = list(csv.reader((tmp_path / "a.csv").open()))
    assert rows
    assert all(len(row) == len(header) for row in rows)
    call("analyze", name, *traces, "--out", tmp_path / "a.zarr")
    assert xr.open_zarr(tmp_path / "a.zarr", consolidated=False).data_vars


def test_runs_of_several_orders_are_not_averaged(tmp_path, monkeypatch, capsys):
    orders = {"a": "cyclic", "b": "shuffled", "c": "cyclic", "unsaid": ""}
    for name, order in orders.items():
        write_example_trace(tmp_path / name, order=order, durability="rename")
    monkeypatch.chdir(tmp_path)
    message = fails(monkeypatch, capsys, "analyze", "seeds", *orders)
    assert "seeds: expected runs of one order, found 2: cyclic: a, c; shuffled: b; give those" in message
    assert "3 runs, cyclic order" in call("analyze", "seeds", "a", "c", "unsaid")


def test_options_of_an_analysis(runs):
    wide = json.loads(call("analyze", "recovery", runs[0], "--json", "--confidence", 0.99))
    assert wide["confidence"] == 0.99
    assert "residual-cosine" in call("analyze", "similarity", "--help")


def test_figures(runs, tmp_path):
    text = call("figures", *runs, "--out", tmp_path / "figures", "--format", "png")
    for name in ("task-loss", "recovery", "shift-averaged-loss", "similarity-weights", "trajectory"):
        assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "similarity-gradients: not drawn" in text
    call("figures", runs[0], "--out", tmp_path / "one", "--only", "recovery", "--format", "svg")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["recovery.svg"]


def test_a_figure_with_options_is_drawn_where_it_is_named(runs, tmp_path):
    asked = ("--only", "by-setting", "--set", "by=order", "--set", "metric=forgetting")
    for keeping in ((), (), ("--no-cache",)):
        call("figures", *runs, "--out", tmp_path / "a", "--format", "svg", *asked, *keeping)
        assert [path.name for path in (tmp_path / "a").iterdir()] == ["by-setting.svg"]
    text = call("figures", *runs, "--out", tmp_path / "b", "--format", "png")
    assert "by-setting" not in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--only", "by-setting", "--set", "bye=order"), "no such option: did you mean 'by'"),
        (("--set", "by=order"), "no such option: there are none; name the figure by --only"),
        (("--only", "by-setting", "--set", "by"), "expected NAME=VALUE"),
        (("--only", "by-setting", "--set", "by=ordr"), "no figure could be drawn"),
    ],
)
def test_options_of_figures_that_are_none(runs, tmp_path, monkeypatch, capsys, given, message):
    found = fails(monkeypatch, capsys, "figures", *runs, "--out", tmp_path / "f", *given)
    assert message in found


def test_train_show_analyze(tmp_path):
    (tmp_path / "toy.yaml").write_text(TOY)
    text = call("train", tmp_path / "toy.yaml", "training.epochs=2", "--out", tmp_path / "run.zarr")
    assert "complete" in text
    trace = open_trace(tmp_path / "run.zarr")
    assert trace.attrs["configuration"]["training"]["epochs"] == 2
    assert trace.attrs["snapshots_committed"] == 9
    assert trace["weights"].visit.values.tolist() == [0, 2, 4, 6, 8]
    numbers = json.loads(call("analyze", "recovery", tmp_path / "run.zarr", "--json"))
    assert len(numbers["recovery_score"]) == 1


def test_train_takes_toml(tmp_path):
    settings = """
        [tasks]
        kind = "toy"
        n_tasks = 3
        inputs = 10
        outputs = 10
        [training]
        epochs = 1
        updates_per_visit = 1
        """
    (tmp_path / "toy.toml").write_text(settings)
    call("train", tmp_path / "toy.toml", "--out", tmp_path / "run.zarr")
    assert open_trace(tmp_path / "run.zarr").attrs["n_tasks"] == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epohcs=3", "epohcs.*did you mean 'epochs'"),
        ("training.epochs=many", "training.epochs.*many"),
        ("training.epochs=0", "training.epochs.*0"),
        ("training.order=cylic", "training.order.*cylic"),
        ("recorders=[{kind: wieghts}]", "'wieghts'.*did you mean 'weights'"),
        ("recorders=[{kind: weights, evry: 3}]", "'evry'.*did you mean 'every'"),
        ("recorders=[{kind: weights, select: 'Q'}]", "no parameter matches 'Q'"),
        ("recorders=[{kind: weights, every: 0}]", "1 visit or more, found 0"),
        ("training.optimizer.learning_rate=1.0e9", "expected a finite train loss"),
    ],
)
def test_a_misspelt_configuration(monkeypatch, capsys, tmp_path, override, message):
    (tmp_path / "toy.yaml").write_text(TOY)
    error = fails(
        monkeypatch, capsys, "train", tmp_path / "toy.yaml", override, "--out", tmp_path / "run.zarr"
    )
    import re

    assert re.search(message, " ".join(error.split())), error


def test_a_diverging_run_keeps_what_was_committed(monkeypatch, capsys, tmp_path):
    (tmp_path / "toy.yaml").write_text(TOY)
    rate = "training.optimizer.learning_rate=30"
    fails(
        monkeypatch,
        capsys,
        "train",
        tmp_path / "toy.yaml",
        rate,
        "training.epochs=40",
        "--out",
        tmp_path / "r.zarr",
    )
    trace = open_trace(tmp_path / "r.zarr")
    assert trace.attrs["status"] == "failed"
    assert trace.attrs["snapshots_committed"] > 1
    assert np.isfinite(trace["losses"].train_loss).all()


def test_nothing_is_overwritten(monkeypatch, capsys, tmp_path, runs):
    (tmp_path / "toy.yaml").write_text(TOY)
    assert "trace here already" in fails(
        monkeypatch, capsys, "train", tmp_path / "toy.yaml", "--out", runs[0]
    )
    assert open_trace(runs[0]).attrs["snapshots_committed"] == 17
    call("train", tmp_path / "toy.yaml", "--out", runs[0], "--overwrite")
    assert open_trace(runs[0]).attrs["snapshots_committed"] == 13


def test_a_failed_set_up_costs_nothing(monkeypatch, capsys, tmp_path, runs):
    (tmp_path / "toy.yaml").write_text(TOY)
    wrong = ("train", tmp_path / "toy.yaml", "recorders=[{kind: weights, select: nosuch}]", "--ignore-space")
    assert "no parameter matches" in fails(monkeypatch, capsys, *wrong, "--out", runs[0], "--overwrite")
    assert open_trace(runs[0]).attrs["snapshots_committed"] == 17
    assert "no parameter matches" in fails(monkeypatch, capsys, *wrong, "--out", tmp_path / "new.zarr")
    assert not (tmp_path / "new.zarr").exists()


def test_it_runs_as_a_module(tmp_path):
    done = subprocess.run([sys.executable, "-m", "tracekit", "show", tmp_path / "absent.zarr"], **PIPED)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is nothing here" in done.stderr


def test_globs_are_expanded_where_the_shell_did_not(runs, tmp_path):
    by_glob = call("analyze", "order-test", tmp_path / "*.zarr", "--json")
    assert by_glob == call("analyze", "order-test", *runs, "--json")


@pytest.mark.parametrize(("command", "code"), [("analyze recvery x", 2), ("shw x", 2), ("show x", 1)])
def test_wrong_usage_is_told_from_what_cannot_be_done(monkeypatch, capsys, command, code):
    monkeypatch.setattr(sys, "argv", ["tracekit", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "found"), [("tracekit an", "analyze"), ("tracekit analyze order", "order-test")]
)
def test_shells_can_complete(monkeypatch, typed, found):
    monkeypatch.setenv("_TRACEKIT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    done = CliRunner().invoke(cli, prog_name="tracekit")
    assert f"plain,{found}" in done.stdout.splitlines()


def test_bad_paths_and_names(monkeypatch, capsys, tmp_path, runs):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for arguments, message in [
        (("show", tmp_path / "absent.zarr"), "there is nothing here"),
        (("show", tmp_path / "empty"), "there is nothing here"),
        (("show", tmp_path / "folder"), "not a trace"),
        (("analyze", "recovery", tmp_path / "absent.zarr"), "there is nothing here"),
        (("analyze", "recvery", runs[0]), "did you mean 'recovery'"),
        (("analyze", "order-test", runs[0]), "2 traces"),
        (
            ("analyze", "similarity", runs[0], "--kind", "gradients"),
            "found activations, pairwise_recovery, weights",
        ),
        (("figures", tmp_path / "absent.zarr", "--out", tmp_path / "f"), "there is nothing here"),
        (("figures", runs[0], "--out", tmp_path / "f", "--only", "recvery"), "did you mean 'recovery'"),
        (("figurs", runs[0]), "did you mean 'figures'"),
        (("train", tmp_path / "absent.yaml", "--out", tmp_path / "r"), "absent.yaml"),
        (("analyze", "recovery", runs[0], "--out", tmp_path / "a.xlsx"), "must end in"),
    ]:
        assert message in " ".join(fails(monkeypatch, capsys, *arguments).split()), arguments


def write_losses(path, order, losses):
    """Write a trace of given losses, dims (visit, task)."""
    plan = Plan(np.asarray(order), n_tasks=losses.shape[1], updates_per_visit=1)
    with TraceWriter.create(path, plan, attributes={"order": "cyclic"}) as trace:
        names = [f"task {number}" for number in range(losses.shape[1])]
        trace.declare_series([Series("losses", "eval_loss", dims=("task",))], labels={"task": names})
        for number, values in enumerate(losses):
            trace.put("losses", "eval_loss", values)
            trace.commit(plan.visit(number))


def test_an_empty_trace(monkeypatch, capsys, tmp_path):
    write_losses(tmp_path / "empty.zarr", [[0, 1]], np.empty((0, 2)))
    assert "losses" in call("show", tmp_path / "empty.zarr")
    assert "the trace is empty" in fails(monkeypatch, capsys, "analyze", "recovery", tmp_path / "empty.zarr")
    message = fails(monkeypatch, capsys, "figures", tmp_path / "empty.zarr", "--out", tmp_path / "f")
    assert "no figure could be drawn" in message


@pytest.mark.parametrize(
    ("order", "n_intervals"), [([[0], [0], [0]], 2), ([[0, 1, 2]], 0)], ids=["one task", "one epoch"]
)
def test_where_no_score_is_defined_it_is_nan_and_said(tmp_path, order, n_intervals):
    n_visits, n_tasks = np.size(order), np.max(order) + 1
    losses = np.random.default_rng(0).uniform(1, 2, (n_visits + 1, n_tasks))
    write_losses(tmp_path / "run.zarr", order, losses)
    numbers = json.loads(call("analyze", "recovery", tmp_path / "run.zarr", "--json"))
    assert numbers["recovery_score"] == [None] * n_intervals
    assert "not defined" in call("analyze", "recovery", tmp_path / "run.zarr").lower() or n_intervals == 0
    text = call("figures", tmp_path / "run.zarr", "--out", tmp_path / "figures", "--format", "png")
    assert "recovery.png" in text


def test_a_nan_loss_is_said(tmp_path):
    losses = np.random.default_rng(0).uniform(1, 2, (7, 2))
    losses[4, 1] = np.nan
    write_losses(tmp_path / "run.zarr", [[0, 1]] * 3, losses)
    numbers = json.loads(call("analyze", "recovery", tmp_path / "run.zarr", "--json"))
    assert None in numbers["recovery_score"]
    assert "NaN" in call("analyze", "recovery", tmp_path / "run.zarr")


def test_interrupted(monkeypatch, tmp_path):
    import tracekit.training

    (tmp_path / "toy.yaml").write_text(TOY)
    evaluate = tracekit.training.loop._evaluate

    def interrupt(run, observers, visit):
        evaluate(run, observers, visit)
        if visit.number == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(tracekit.training.loop, "_evaluate", interrupt)
    text = call("train", tmp_path / "toy.yaml", "--out", tmp_path / "run.zarr", code=1)
    assert "keeps every visit that was completed" in text
    trace = open_trace(tmp_path / "run.zarr")
    assert (trace.attrs["status"], trace.attrs["snapshots_committed"]) == ("interrupted", 4)
