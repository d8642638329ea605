"""What is wrong with what a command was given is said in words, and nothing that is there is harmed."""

import shlex
import shutil

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from tracekit import Plan, Series, TraceWriter, open_trace
from tracekit.cli.main import cli
from tracekit.testing.written import write_example_trace

TOY = "tasks: {kind: toy, n_tasks: 3, inputs: 8, outputs: 8}\ntraining: {epochs: 1, updates_per_visit: 1}\n"


def write_losses(path, order, losses):
    """Write a trace of losses, dims (visit, task), of the first visits of a run."""
    plan = Plan(np.asarray(order), n_tasks=losses.shape[1], updates_per_visit=1)
    with TraceWriter.create(path, plan, attributes={"order": "cyclic"}, durability="rename") as trace:
        labels = {"task": [f"task {number}" for number in range(losses.shape[1])]}
        trace.declare_series([Series("losses", "eval_loss", dims=("task",))], labels=labels)
        for number, values in enumerate(losses):
            trace.put("losses", "eval_loss", values)
            trace.commit(plan.visit(number))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Traces of all kinds, and what is none."""
    folder = tmp_path_factory.mktemp("bad")
    for name, n_tasks in (("good", 3), ("other", 4)):
        write_example_trace(folder / f"{name}.zarr", n_tasks=n_tasks, durability="rename")
    two = [[0, 1]] * 3
    losses = np.random.default_rng(0).uniform(1, 2, (7, 2))
    for name, n_visits in (("empty", 0), ("one_visit", 1), ("losses", 7)):
        write_losses(folder / f"{name}.zarr", two, losses[:n_visits])
    write_losses(folder / "nan.zarr", two, np.full((7, 2), np.nan))
    shutil.copytree(folder / "good.zarr", folder / "no_weights.zarr")
    shutil.rmtree(folder / "no_weights.zarr" / "weights")
    zarr.create_array(folder / "array.zarr", data=np.arange(3))
    zarr.open_group(folder / "group.zarr", mode="w")
    zarr.open_group(folder / "old.zarr", mode="w", zarr_format=2).create_array("values", data=np.arange(3))
    (folder / "file.txt").write_text("hello")
    (folder / "toy.yaml").write_text(TOY)
    return folder


@pytest.fixture(autouse=True)
def within(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("show file.txt", "file.txt: not a trace: it is a file, and a trace is a folder"),
        ("show group.zarr", "group.zarr: a Zarr store, but not a trace"),
        ("show array.zarr", "array.zarr: a Zarr store, but not a trace"),
        ("show old.zarr", "old Zarr format 2"),
        ("show no_weights.zarr", "there is no weights/zarr.json"),
        ("show good.zarr --interval -1", "not in the range"),
        ("show nosuch://run.zarr", "nosuch:// is not known"),
        ("verify group.zarr", "not a trace"),
        ("verify good.zarr --threads 0", "not in the range"),
        ("rollback absent.zarr --to 1", "absent.zarr: there is nothing here"),
        ("rollback group.zarr --to 0", "group.zarr: not a trace"),
        ("rollback good.zarr", "7 snapshots and no checkpoint; say with --to how many to keep"),
        ("rollback good.zarr --to 99", "cannot go back to 99"),
        ("derived group.zarr", "not a trace"),
        ("analyze order-test good.zarr", "takes 2 traces, found 1"),
        ("analyze recovery empty.zarr", "the trace is empty"),
        ("analyze recovery good.zarr --loss test_loss", "no variable 'test_loss'"),
        ("analyze recovery good.zarr --confidence 2", "between 0 and 1, found 2.0"),
        ("analyze recovery good.zarr --n-resamples -5", "expected 1 or more, found -5"),
        ("analyze recovery good.zarr --n-resamples 1e3", "'1e3' is not a valid integer"),
        ("analyze order-test good.zarr good.zarr --seed -1", "seed: expected 0 or more, found -1"),
        ("analyze recovery-test good.zarr --seed -1", "seed: expected 0 or more, found -1"),
        ("analyze seeds good.zarr good.zarr --seed -1", "seed: expected 0 or more, found -1"),
        ("analyze seeds good.zarr good.zarr --confidence 1", "between 0 and 1, found 1"),
        ("analyze seeds good.zarr other.zarr", "runs over seeds have the same tasks"),
        ("analyze similarity losses.zarr", "expected 'weights', found nothing"),
        ("analyze similarity good.zarr --select *attention*", "no name in good.zarr matches '*attention*'"),
        ("analyze similarity good.zarr --select re:(", "no regular expression"),
        ("analyze trajectory good.zarr --n-components 0", "expected 1 or more, found 0"),
        ("analyze recovery good.zarr --scheduler nonsense", "'nonsense' is no address of a scheduler"),
        ("analyze recovery good.zarr --out file.txt/x.csv", "file.txt: cannot be made a folder"),
        ("analyze recovery good.zarr --out scores.xlsx", "must end in .json, .csv, .zarr, found '.xlsx'"),
        ("figures good.zarr --out file.txt", "file.txt: cannot be made a folder"),
        ("figures good.zarr --out figures --only rec*", "there is no 'rec*'"),
        ("figures losses.zarr --out figures --only trajectory", "no figure could be drawn"),
        ("analyze seeds nothing*.zarr", "nothing is there that matches"),
        ("figures nothing*.zarr --out figures", "nothing is there that matches"),
        ("table nothing*.zarr", "nothing is there that matches"),
        ("table good.zarr --out file.txt/table.csv", "file.txt: cannot be made a folder"),
        ("table good.zarr --by ordr", "did you mean 'order'"),
        ("train toy.yaml --out good.zarr", "good.zarr: there is a trace here already"),
        ("train toy.yaml --out group.zarr --overwrite", "something here already, which is no trace"),
        ("train toy.yaml --out file.txt --overwrite", "something here already, which is no trace"),
        ("train --resume absent.zarr", "nothing here to resume"),
        ("train --resume group.zarr", "not a trace"),
        ("train --resume good.zarr", "holds no configuration"),
        ("train toy.yaml 'recorders=[{kind: weights, select: 3}]' --out r.zarr", "found 3"),
        ("train toy.yaml seed --out r.zarr", "expected a dotted key and a value"),
        ("plan absent.yaml", "absent.yaml: cannot read this configuration"),
    ],
)
def test_it_is_said_in_words(refused, command, message):
    assert message in refused(*shlex.split(command))


def test_no_empty_progress_bar_stands_before_the_message(refused):
    for command in ("verify group.zarr", "verify absent.zarr", "figures absent.zarr --out figures"):
        assert refused(*command.split()).startswith("Error: ")


def test_an_empty_path_is_not_this_folder(refused):
    for command in (["show"], ["analyze", "recovery"], ["train", "toy.yaml", "--overwrite", "--out"]):
        assert "the path is empty" in refused(*command, "")


def test_a_result_never_takes_the_place_of_a_trace(refused):
    for name in ("good", "other"):
        assert "something here already" in refused(
            "analyze", "recovery", "good.zarr", "--out", f"{name}.zarr"
        )
        assert open_trace(f"{name}.zarr").attrs["snapshots_committed"] > 0


def test_a_full_disk_behind_the_output(refused, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tracekit.cli.output.Console.print", full)
    assert "No space left on device" in refused("show", "good.zarr")


@pytest.mark.parametrize("run", ["one_visit", "losses", "nan"])
@pytest.mark.parametrize(
    "name", ["recovery", "recovery-test", "trend", "continual", "online-loss", "shift-averaged-loss"]
)
def test_what_is_not_defined_is_no_error(run, name):
    """A dash in the table, null in JSON; nothing beside them, such as warnings from below."""
    for words in ([], ["--json"]):
        result = CliRunner().invoke(cli, ["analyze", name, f"{run}.zarr", *words])
        assert result.exit_code == 0, result.exception
        assert "nan" not in result.stdout.replace("nan.zarr", "")
        assert not result.stderr


def test_what_is_said_twice_is_done_once():
    shown = CliRunner().invoke(cli, ["table", "good.zarr", "--by", "order,order", "--json"])
    assert shown.exit_code == 0, shown.exception
    names = ("--only", "recovery") * 2
    drawn = CliRunner().invoke(cli, ["figures", "good.zarr", "--out", "twice", *names, "--format", "png"])
    assert drawn.stdout.split() == ["twice/recovery.png"]


def test_an_empty_table_of_results_says_so(tmp_path):
    path = write_example_trace(tmp_path / "run.zarr")
    assert "nothing is kept" in CliRunner().invoke(cli, ["derived", path]).stdout
