"""A run that goes on from a checkpoint ends with the bits of one that was never stopped."""

import warnings

import pytest
import torch
import zarr
from click.testing import CliRunner
from safetensors.torch import save

from recorders import LossRecorder, WeightRecorder
from tracekit import Recording, open_trace
from tracekit.checking.verify import verify
from tracekit.cli.rollback import rollback as rollback_command
from tracekit.cli.train import train as train_command
from tracekit.errors import TraceError, TraceWarning
from tracekit.format.checkpoints import (
    DOCUMENT,
    TENSORS,
    checkpoint_document,
    checkpoint_numbers,
    key_of,
    put_checkpoint,
)
from tracekit.store import LocalStore
from tracekit.training import Checkpoints, load_configuration, prepare, restore, train
from tracekit.training.states import signature

TIED = "model={kind: config, config: {model_type: gpt2, n_embd: 8, n_head: 2, n_layer: 1, n_positions: 32}}"
KINDS = {
    "sgd": (),
    "momentum": ("training.optimizer={kind: sgd, momentum: 0.9}",),
    "adamw, tied weights, dropout": (TIED, "training.optimizer={kind: adamw}"),
    "bfloat16": ("model.precision=bfloat16", "training.optimizer={kind: adam}"),
    "shuffled, clipped": ("training.order=shuffled", "training.clip_grad_norm=0.5"),
}


class Stop:
    """An observer that ends a run after a visit was committed."""

    def __init__(self, after):
        self.after = after

    def start(self, run):
        pass

    before_update = finish = start

    def after_update(self, update, train_loss):
        pass

    def after_visit(self, visit, evaluation):
        if visit.number == self.after:
            raise KeyboardInterrupt


def recording(path, every=1, **settings):
    return Recording(path, [LossRecorder(), WeightRecorder(), Checkpoints(every)], **settings)


def cut_off(run, path, after, every=1):
    with pytest.raises(KeyboardInterrupt):
        train(run, [recording(path, every), Stop(after)])


def state(run):
    tensors = [tensor.clone() for tensor in run.model.state_dict().values()]
    for moments in run.optimizer.state_dict()["state"].values():
        tensors += [torch.as_tensor(value).clone() for value in moments.values() if value is not None]
    return tensors


def same(first, second):
    return len(first) == len(second) and all(
        a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("every", [1, 2, 100], ids=["each visit", "every other visit", "never yet"])
def test_weights_and_moments_are_those_of_a_run_never_stopped(tiny, tmp_path, kind, every):
    path = tmp_path / "run.zarr"
    whole = tiny(*KINDS[kind])
    train(whole, [recording(tmp_path / "whole.zarr")])
    cut_off(tiny(*KINDS[kind]), path, after=3, every=every)

    run = restore(tiny(*KINDS[kind]), path)
    assert run.snapshots == {1: 4, 2: 3, 100: 0}[every]
    train(run, [recording(path, every, resume=True)])

    assert same(state(run), state(whole))
    names = [name for name, _ in run.model.named_parameters()]
    assert names == [name for name, _ in whole.model.named_parameters()]
    found, expected = open_trace(path), open_trace(tmp_path / "whole.zarr")
    for node in ("weights/flat", "losses"):
        a, b = (tree[node].to_dataset().compute() for tree in (found, expected))
        clocks = ("wall_time_seconds", "update_wall_time_seconds")
        assert a.drop_vars(clocks, errors="ignore").equals(b.drop_vars(clocks, errors="ignore"))


def test_tied_weights_stay_tied(tiny, tmp_path):
    cut_off(tiny(TIED), tmp_path / "run.zarr", after=2)
    run = restore(tiny(TIED), tmp_path / "run.zarr")
    assert run.model.lm_head.weight is run.model.transformer.wte.weight
    data = LocalStore(tmp_path / "run.zarr").get(key_of(2, TENSORS))
    assert b"wte" in data
    assert b"lm_head" not in data


def test_the_last_two_are_kept_and_no_zarr_reader_meets_them(tiny, tmp_path):
    path = tmp_path / "run.zarr"
    train(tiny(), [recording(path)])
    assert checkpoint_numbers(LocalStore(path)) == [5, 6]
    assert open_trace(path).attrs["snapshots_committed"] == 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = [name for name, _ in zarr.open_group(path, mode="r").members(max_depth=None)]
    assert not [name for name in names if "checkpoint" in name or "claim" in name]


FOUND = {
    (TENSORS, "flipped"): r"the checksum does not match",
    (TENSORS, "cut"): r"the checksum does not match",
    (TENSORS, "empty"): r"the checksum does not match",
    (TENSORS, "gone"): r"missing; not a whole checkpoint",
    (DOCUMENT, "flipped"): r"its content does not match its checksum",
    (DOCUMENT, "cut"): r"not the JSON object of a checkpoint \(JSONDecodeError",
    (DOCUMENT, "empty"): r"not the JSON object of a checkpoint \(JSONDecodeError",
    (DOCUMENT, "gone"): r"missing; not a whole checkpoint",
}


def damage(file, how):
    data = bytearray(file.read_bytes())
    place = data.index(b"crc32c") + 12 if file.name == DOCUMENT else len(data) // 2
    data[place] ^= 1
    file.unlink()
    if how != "gone":
        file.write_bytes({"flipped": data, "cut": data[: len(data) // 2], "empty": b""}[how])


def test_a_damaged_checkpoint_is_passed_over(tiny, tmp_path):
    path, run = tmp_path / "run.zarr", tiny()
    cut_off(tiny(), path, after=3)
    for (name, how), found in FOUND.items():
        sound = (path / key_of(3, name)).read_bytes()
        damage(path / key_of(3, name), how)
        then = r"; an older state is taken, that after visit 2 \(.*--repair"
        with pytest.warns(TraceWarning, match=f"/commit/checkpoint/3/{name}: {found}.*{then}"):
            assert restore(run, path).snapshots == 3
        (path / key_of(3, name)).write_bytes(sound)
    assert restore(run, path).snapshots == 4


def test_where_all_are_damaged_the_run_begins_anew(tiny, tmp_path):
    path = tmp_path / "run.zarr"
    cut_off(tiny(), path, after=3)
    damage(path / key_of(3, DOCUMENT), "cut")
    damage(path / key_of(2, TENSORS), "gone")
    told = r"checkpoint/3/state\.json: .*checkpoint/2/state\.safetensors: missing.*begins anew and repeats"
    with pytest.warns(TraceWarning, match=told):
        assert restore(tiny(), path).snapshots == 0


@pytest.mark.parametrize("n_damaged", [1, 2])
def test_a_run_resumed_past_damaged_checkpoints_ends_with_the_same_bits(tiny, tmp_path, n_damaged):
    path = tmp_path / "run.zarr"
    whole = tiny()
    train(whole, [recording(tmp_path / "whole.zarr")])
    cut_off(tiny(), path, after=4)
    for number in (4, 3)[:n_damaged]:
        damage(path / key_of(number, TENSORS), "flipped")
    with pytest.warns(TraceWarning, match="the checksum does not match"):
        run = restore(tiny(), path)
    assert run.snapshots == {1: 4, 2: 0}[n_damaged]
    train(run, [recording(path, resume=True)])
    assert same(state(run), state(whole))
    assert verify(path).faults == ()


def damaged_copies(data, step):
    """Give data cut off at many places, and with one bit flipped at many."""
    for place in range(0, len(data), step):
        yield data[:place]
        yield data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        (TENSORS, 1009),
        (DOCUMENT, 61),
        pytest.param(TENSORS, 17, marks=pytest.mark.slow),
        pytest.param(DOCUMENT, 1, marks=pytest.mark.slow),
    ],
)
def test_no_damage_gives_another_state(tiny, tmp_path, name, step):
    """It is passed over, or changes nothing that is said: a blank in JSON, say."""
    path = tmp_path / "run.zarr"
    cut_off(tiny(), path, after=3)
    sound, file, run = state(restore(tiny(), path)), path / key_of(3, name), tiny()
    copies = list(damaged_copies(file.read_bytes(), step))
    n_found = 0
    for data in copies:
        file.write_bytes(data)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", TraceWarning)
            restored = restore(run, path)
        n_found += bool(told)
        if told:
            assert (restored.snapshots, name in str(told[0].message)) == (3, True)
        else:
            assert restored.snapshots == 4
            assert same(state(restored), sound)
    assert n_found == len(copies) if name == TENSORS else n_found > 0.8 * len(copies)


ODD = [
    {},
    {"model": []},
    {"optimizer": {"kind": "SGD"}},
    {"optimizer": {"kind": "SGD", "groups": [], "values": {}, "devices": {}}},
    {"optimizer": {"kind": "SGD", "groups": [{}], "values": {"optimizer.99.x": 1}, "devices": {}}},
    {"optimizer": {"kind": "SGD", "groups": [{}], "values": {}, "devices": {"optimizer": "cpu"}}},
]


def test_what_does_not_fit_together_is_named(tiny, tmp_path):
    """Sealed, and not what this program writes."""
    path, run = tmp_path / "run.zarr", tiny()
    cut_off(tiny(), path, after=3)
    for facts in ODD:
        tensors = save({"model.other": torch.zeros(2)})
        document = checkpoint_document({"model": signature(run.model), **facts}, tensors)
        put_checkpoint(LocalStore(path), 3, [(TENSORS, tensors), (DOCUMENT, document)])
        with pytest.raises(TraceError, match=r"3/state\.json: the (JSON object|checkpoint is of another)"):
            restore(run, path)


def test_a_checkpoint_of_what_was_not_committed_is_not_used(tiny, tmp_path):
    from tracekit.writing.truncation import go_back

    path = tmp_path / "run.zarr"
    cut_off(tiny(), path, after=3)
    go_back(LocalStore(path), 3)
    assert restore(tiny(), path).snapshots == 3
    go_back(LocalStore(path), 2)
    assert restore(tiny(), path).snapshots == 0


def test_another_model_or_optimizer_is_refused_by_name(tiny, tmp_path):
    cut_off(tiny(), tmp_path / "run.zarr", after=2)
    with pytest.raises(TraceError, match=r"another model or optimizer:\n.*embed_in.weight: 'float32\[2"):
        restore(tiny("model.width=16"), tmp_path / "run.zarr")
    with pytest.raises(TraceError, match="optimizer: 'SGD' in the trace, now 'Adam'"):
        restore(tiny("training.optimizer.kind=adam"), tmp_path / "run.zarr")


YAML = """
tasks: {kind: toy, n_tasks: 3}
training: {epochs: 2, updates_per_visit: 2, device: cpu}
recorders: [{kind: losses}, {kind: weights}]
"""


@pytest.fixture
def command(tmp_path):
    """Run `tracekit train`; configurations are files in the folder of the test."""
    (tmp_path / "run.yaml").write_text(YAML)

    def run(*arguments):
        return CliRunner().invoke(train_command, [str(argument) for argument in arguments])

    return run


def test_the_command_resumes(command, tmp_path):
    path, file = tmp_path / "run.zarr", tmp_path / "run.yaml"
    assert command(file, "--out", tmp_path / "whole.zarr").exit_code == 0
    run = prepare(load_configuration(file))
    with pytest.raises(KeyboardInterrupt):
        train(run, [Recording(path, [LossRecorder(), WeightRecorder(), Checkpoints(4)]), Stop(5)])
    assert open_trace(path).attrs["status"] == "interrupted"

    refused = command(file, "training.epochs=3", "seed=1", "--resume", path)
    assert "seed: 0 in the trace, now 1" in str(refused.exception)
    assert "training.epochs: 2 in the trace, now 3" in str(refused.exception)
    done = command(file, "--resume", path)
    assert done.exit_code == 0, done.output
    whole, found = (open_trace(tmp_path / f"{name}.zarr") for name in ("whole", "run"))
    assert found.attrs["status"] == "complete"
    assert (found["weights/flat"]["values"].values == whole["weights/flat"]["values"].values).all()
    assert "is complete; there is nothing to resume" in command("--resume", path).output


def test_the_command_rolls_back_to_the_last_checkpoint(tiny, tmp_path):
    path = tmp_path / "run.zarr"
    cut_off(tiny(), path, after=4, every=3)
    assert "4 of 5 snapshots are kept" in CliRunner().invoke(rollback_command, [str(path)]).output
    assert open_trace(path).attrs["snapshots_committed"] == 4 == restore(tiny(), path).snapshots
    assert "2 of 4 snapshots" in CliRunner().invoke(rollback_command, [str(path), "--to", "2"]).output
    assert restore(tiny(), path).snapshots == 0


def test_the_command_says_what_it_needs(command, tmp_path):
    assert "nothing here to resume" in str(command("--resume", tmp_path / "absent.zarr").exception)
    assert "needs CONFIGURATION and --out" in command(tmp_path / "run.yaml").output
    assert "are for new runs" in command("--resume", tmp_path, "--overwrite").output
