"""What a trace costs against the plain thing: ratios, each pair measured in one run, interleaved, best of n.

- Writing a visit of 5 M parameters (weights and gradients) against `ndarray.tofile` of the same bytes and
  against `safetensors.numpy.save_file`, in CPU time of all threads, at equal durability (fsync).
- Reading `--gigabytes` of weights against a memory map of the same bytes, wall time, through the labelled
  objects that `open_trace` gives: everything, one visit, a parameter of 1 MB and one of 1 KB over all visits;
  and what zarr-python takes for the same (see `read_arms.py`).
- Peak memory while writing visits of `--visit-gigabytes`.
- Time to open, and to commit a visit, against the number of visits.

Run `python benchmarks/store.py`: some minutes, and 3 × `--gigabytes` of disk; `--only write` and so on for a
part. The memory map is opened anew for every read, and every read of one visit takes another visit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from read_arms import Arm, Arms, decoding, reads

from tracekit import Field, Plan, Rows, Series, TraceWriter, open_trace
from tracekit.format.codecs import CodecName
from tracekit.testing import peak_memory

MEGABYTE_FIELD, KILOBYTE_FIELD = "layer5.mlp.weight", "layer5.norm.weight"
FIELDS = tuple(
    field
    for layer in range(10)
    for field in (
        *(Field(f"layer{layer}.norm.{part}", (256,)) for part in ("weight", "bias", "scale")),
        Field(f"layer{layer}.mlp.weight", (1024, 256)),
        *(
            Field(f"layer{layer}.attention.{part}", (256, 256))
            for part in ("query", "key", "value", "output")
        ),
    )
)
N_PARAMETERS = sum(field.size for field in FIELDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--visit-gigabytes", type=float, default=1.0)
    parser.add_argument("--visits", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folder", help="where to write; the default is the system's folder for such files")
    parser.add_argument("--only", choices=("write", "read", "memory", "visits"))
    arguments = parser.parse_args()
    parts = {"write": writing, "read": reading, "memory": memory, "visits": visits}
    for name, part in parts.items():
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                part(Path(folder), arguments)


def writing(folder: Path, arguments: argparse.Namespace) -> None:
    """Compare the writing of one visit."""
    noise = np.random.default_rng(0)
    rows = {
        "weights": noise.standard_normal(N_PARAMETERS, np.float32) * np.float32(0.02),
        "gradients": noise.standard_normal(N_PARAMETERS, np.float32) * np.float32(1e-3),
    }
    n_visits = 3 * arguments.repeats + 1
    traces = {codec: _open_writer(folder / f"{codec}.zarr", n_visits, codec) for codec in ("none", "lz4")}

    def trace_arm(codec: CodecName) -> Arm:
        trace = traces[codec]

        def write(number: int) -> None:
            for group, row in rows.items():
                trace.put_row(group, number, row)
            trace.commit(trace.plan.visit(number))

        return write

    def tofile(number: int) -> None:
        for group, row in rows.items():
            with (folder / f"{group}.{number}.raw").open("wb") as file:
                row.tofile(file)
                file.flush()
                os.fsync(file.fileno())

    def safe(number: int) -> None:
        path = folder / f"{number}.safetensors"
        safetensors.numpy.save_file(rows, path)
        with path.open("rb+") as file:
            os.fsync(file.fileno())

    arms = {"tofile": tofile, "safetensors": safe, "none": trace_arm("none"), "lz4": trace_arm("lz4")}
    best = interleaved(arms, n_visits, time.process_time)
    print(f"\nwriting a visit of 2 x {N_PARAMETERS / 1e6:.2f} M float32, CPU time, fsync")
    for name, aim in (("none", 1.25), ("lz4", 3.5)):
        against = ", ".join(f"{best[name] / best[raw]:.2f} x {raw}" for raw in ("tofile", "safetensors"))
        print(f"  trace, codec {name:5} {best[name] * 1e3:7.1f} ms   {against}   (aim {aim} x tofile)")
    for trace in traces.values():
        trace.close()


def reading(folder: Path, arguments: argparse.Namespace) -> None:
    """Compare reading by tracekit, by zarr-python, and from a memory map."""
    n_visits = max(2, int(arguments.gigabytes * 1e9 / (4 * N_PARAMETERS)))
    raw, codecs = folder / "rows.raw", ("lz4", "none")
    with raw.open("wb") as file:
        for codec in codecs:
            with _open_writer(folder / f"{codec}.zarr", n_visits, codec, groups=("weights",)) as trace:
                for number, row in enumerate(_walk(n_visits)):
                    trace.put_row("weights", number, row)
                    trace.commit(trace.plan.visit(number))
                    if codec == codecs[0]:
                        row.tofile(file)
    print(f"\nreading {n_visits} visits of {N_PARAMETERS / 1e6:.2f} M float32, wall time over a memory map's")
    for read in reads(FIELDS, MEGABYTE_FIELD, KILOBYTE_FIELD):
        arms = Arms(read, folder, n_visits, FIELDS).all(codecs)
        n_repeats = max(2, arguments.repeats // 3) if read.label == "everything" else arguments.repeats
        _show_reads(f"{read.label} (aim {read.aim} x)", interleaved(arms, n_repeats, time.perf_counter))
    row = Arms(reads(FIELDS, MEGABYTE_FIELD, KILOBYTE_FIELD)[1], folder, n_visits, FIELDS).all(())
    for what, from_file in (("check and decode what is in memory", False), ("read, check and decode", True)):
        floor = {codec: decoding(folder / f"{codec}.zarr", from_file=from_file) for codec in codecs}
        best = interleaved(row | floor, arguments.repeats, time.perf_counter)
        _show_reads(f"floor: {what}, one visit, one core", best)


def _show_reads(label: str, best: dict[str, float]) -> None:
    found = ", ".join(f"{name} {best[name] / best['map']:.1f}" for name in best if name != "map")
    print(f"  {label:66} map {best['map'] * 1e3:8.2f} ms   {found}")


def memory(folder: Path, arguments: argparse.Namespace) -> None:
    """Measure the peak memory of a writer of large visits, beyond the row itself, in fresh processes."""
    n_bytes = int(arguments.visit_gigabytes * 1e9)
    print(f"\npeak memory while writing visits of {n_bytes / 1e9:.2g} GB, beyond the row itself")
    for codec in ("none", "lz4"):
        command = [sys.executable, __file__, "--peak-of", str(folder / f"{codec}.zarr"), str(n_bytes), codec]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"  codec {codec:5} {float(done.stdout) / 1e6:7.0f} MB")


def peak_of(path: str, n_bytes: str, codec: CodecName) -> None:
    """Write three visits of one large row, and print the bytes of memory taken beyond it."""
    row = np.random.default_rng(0).standard_normal(int(n_bytes) // 4, np.float32)
    before = peak_memory()
    plan = Plan(np.zeros((1, 2), np.int64), 1, 1)
    with TraceWriter.create(path, plan, codec=codec) as trace:
        trace.declare_rows(Rows("weights", (Field("w", row.shape),), (0, 1, 2)))
        for number in range(3):
            trace.put_row("weights", number, row)
            trace.commit(plan.visit(number))
    print(peak_memory() - before)


def visits(folder: Path, arguments: argparse.Namespace) -> None:
    """Measure opening and committing against the number of visits."""
    print("\n200 parameters: open, and commit (durability: rename), against the number of visits")
    for n_visits in (100, 1000, arguments.visits):
        path = folder / f"{n_visits}.zarr"
        seconds = _commit_seconds(path, n_visits)
        best = interleaved(
            {"open": lambda _, path=path: open_trace(path)}, arguments.repeats, time.perf_counter
        )
        first, last = np.median(seconds[1:100]), np.median(seconds[-100:])
        print(
            f"  {n_visits:6} visits: open {best['open'] * 1e3:6.1f} ms (aim 200), commit: median of the "
            f"first hundred {first * 1e3:.2f} ms, of the last {last * 1e3:.2f} ms"
        )


def _commit_seconds(path: Path, n_visits: int) -> list[float]:
    fields = tuple(Field(f"layer{number}.weight", (2, 2)) for number in range(200))
    plan, seconds = Plan(np.zeros((1, n_visits - 1), np.int64), 1, 1), []
    with TraceWriter.create(path, plan, durability="rename") as trace:
        trace.declare_rows(Rows("weights", fields, tuple(range(n_visits))))
        trace.declare_series([Series("losses", "eval_loss", dims=("task",))], labels={"task": ["a"]})
        for number in range(n_visits):
            started = time.perf_counter()
            trace.put_row("weights", number, np.full(800, number, np.float32))
            trace.put("losses", "eval_loss", [number])
            trace.commit(plan.visit(number))
            seconds.append(time.perf_counter() - started)
    return seconds


def interleaved(arms: dict[str, Arm], n_repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    """Run all arms in turn, n times, and give the best time of each."""
    best = dict.fromkeys(arms, float("inf"))
    for number in range(n_repeats):
        for name, arm in arms.items():
            started = clock()
            result = arm(number)
            best[name] = min(best[name], clock() - started)
            del result
    return best


def _open_writer(
    path: Path, n_visits: int, codec: CodecName, groups: tuple[str, ...] = ("weights", "gradients")
) -> TraceWriter:
    plan = Plan(np.zeros((1, n_visits - 1), np.int64), n_tasks=1, updates_per_visit=1)
    trace = TraceWriter.create(path, plan, codec=codec)
    for group in groups:
        trace.declare_rows(Rows(group, FIELDS, tuple(range(n_visits))))
    return trace


def _walk(n_visits: int) -> Iterator[npt.NDArray[np.float32]]:
    """Give rows of weights that walk at random, the same at every call."""
    noise = np.random.default_rng(0)
    row = noise.standard_normal(N_PARAMETERS, np.float32) * np.float32(0.02)
    for _ in range(n_visits):
        row = row + np.float32(1e-3) * noise.standard_normal(N_PARAMETERS, np.float32)
        yield row


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak-of"]:
        peak_of(*sys.argv[2:])
    else:
        main()
