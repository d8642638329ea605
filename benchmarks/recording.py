"""What recording costs a training run, step by step: tracekit beside the other ways to keep the same tensors.

A GPT-NeoX of 5.3 M parameters is trained for `--steps` steps; every arm keeps the loss, all weights, all
gradients and the last hidden state of each step: 42.9 MB, or with `--size 160m` 1.3 GB. Each arm runs in a
process of its own, forked from one that has everything imported; the arms take turns for `--rounds` rounds,
and the best of each number is printed. All must end with weights of the same bits as training without
recording. Nothing is flushed to disk (tracekit: `durability="rename"`): the others do not do it.

- stall: wall time that the recording takes from the thread that trains, median over steps;
- CPU: time of all threads beyond the training's own, until everything is written, per step;
- more files: those that as many steps again add, counted in a run of its own that does not train;
- peak memory beyond that of the same training without recording.

Run `python benchmarks/recording.py`: some minutes. It needs the extra `train`; TensorBoard takes part where
it is installed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from recording_arms import ARMS, BASELINE, FLOOR, PEER, Arm
from recording_model import SIZES, Training

from tracekit.testing import peak_memory

AIMS = {
    "tracekit, none": "stall <= 1.5 x clone, CPU <= 1.25 x safetensors",
    "tracekit, lz4": "stall <= 1.5 x clone, CPU <= 3.5 x safetensors",
    "tracekit, reductions": "stall <= 5 ms",
    "tracekit, sketch": "stall <= 1.5 x clone",
}


def measure(arm: Arm, folder: Path, size: str, n_steps: int) -> dict[str, Any]:
    """Train with an arm, and give what it cost."""
    training, training_seconds, stalls = Training(size), 0.0, []
    training.backward()  # memory that the training itself takes is there
    training.optimizer.step()
    arm.start(training, folder, n_steps)
    before, began = peak_memory(), time.process_time()
    for step in range(n_steps):
        started = time.thread_time()
        training.backward()
        training_seconds += time.thread_time() - started
        stall = _wall(lambda step=step: arm.before_update(training, step))
        started = time.thread_time()
        training.optimizer.step()
        training_seconds += time.thread_time() - started
        stalls.append(stall + _wall(lambda step=step: arm.after_update(training, step)))
    arm.finish()
    seconds = time.process_time() - began - training_seconds
    peak = peak_memory() - before
    files = _files(folder)
    return {
        "stall": 1e3 * statistics.median(stalls),
        "CPU": 1e3 * seconds / n_steps,
        "MB": sum(file.stat().st_size for file in files) / 1e6 / n_steps,
        "files": len(files),
        "read": 1e3 * min(_wall(arm.read) for _ in range(3)) if arm.read() is not None else float("nan"),
        "peak": peak / 1e6,
        "bound": training.queue_bytes / 1e6,
        "digest": training.digest(),
    }


def count_files(arm: Arm, folder: Path, size: str, n_steps: int) -> int:
    """Give the files of so many steps; what is trained does not matter to them, so nothing is."""
    training = Training(size)
    training.backward()
    arm.start(training, folder, n_steps)
    for step in range(n_steps):
        arm.before_update(training, step)
        arm.after_update(training, step)
    arm.finish()
    return len(_files(folder))


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def _wall(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def in_process(what: Callable[..., Any], name: str, folder: str, size: str, n_steps: int) -> Any:
    """Measure something of an arm in a forked process."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            theirs.send(json.dumps(what(ARMS[name](), Path(place), size, n_steps)))

    process = context.Process(target=run)
    process.start()
    theirs.close()
    try:
        found = json.loads(ours.recv())
    except EOFError:
        raise SystemExit(f"{name}: failed, see above") from None
    finally:
        process.join()
    return found


def available() -> Iterator[str]:
    """Give the arms whose packages are installed."""
    for name in ARMS:
        if name.startswith("TensorBoard") and find_spec("tensorboard") is None:
            print(f"left out: {name} (not installed)")
            continue
        yield name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--size", choices=SIZES, default="5m", help="parameters of the model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="arms, by the beginning of their names")
    parser.add_argument("--folder", help="where to write; the default is the system's folder for such files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # so that processes can be forked, and the CPU time of the training be told
    folder = arguments.folder or tempfile.gettempdir()
    chosen = tuple(arguments.only or [""])
    arms = [name for name in available() if name in (BASELINE, FLOOR, PEER) or name.startswith(chosen)]
    rounds = [
        {name: in_process(measure, name, folder, arguments.size, arguments.steps) for name in arms}
        for _ in range(arguments.rounds)
    ]
    digests = {found["digest"] for each in rounds for found in each.values()}
    assert len(digests) == 1, "the trained weights differ between arms"
    longer = {
        name: in_process(count_files, name, folder, arguments.size, 2 * arguments.steps) for name in arms
    }
    report(arms, rounds, longer)


def report(arms: list[str], rounds: list[dict[str, dict[str, Any]]], longer: dict[str, int]) -> None:
    """Print the best of each number, and the aims beside; `longer` has the files of runs twice as long."""
    kinds = ("stall", "CPU", "MB", "files", "read", "peak")
    best = {name: {kind: min(each[name][kind] for each in rounds) for kind in kinds} for name in arms}
    print(f"{os.cpu_count()} cores, torch {torch.__version__}; trained weights: the same bits in every arm")
    print(
        f"{'':24}{'stall':>8}{'x clone':>9}{'CPU':>8}{'x safe':>9}{'MB':>7}{'files':>7}{'more':>7}"
        f"{'read':>8}{'peak':>7}"
    )
    print(
        f"{'':24}{'ms/step':>8}{'':>9}{'ms/step':>8}{'':>9}{'/step':>7}{'':>7}{'files':>7}{'ms':>8}{'MB':>7}"
    )
    for name, found in best.items():
        print(
            f"{name:24}{found['stall']:8.1f}{found['stall'] / best[FLOOR]['stall']:9.2f}{found['CPU']:8.1f}"
            f"{found['CPU'] / best[PEER]['CPU']:9.2f}{found['MB']:7.1f}{found['files']:7.0f}"
            f"{longer[name] - found['files']:7.0f}{found['read']:8.0f}"
            f"{found['peak'] - best[BASELINE]['peak']:7.0f}   {AIMS.get(name, '')}"
        )
    print(
        "aims of all of tracekit's arms: files <= 100, read <= 100 ms, peak <= "
        f"{rounds[0][FLOOR]['bound']:.0f} MB (the bound of the queue)"
    )


if __name__ == "__main__":
    main()
