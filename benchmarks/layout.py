"""Codecs, chunk sizes and types on real weights and gradients: bytes left, and CPU time to write and read.

Trains the default model (a GPT-NeoX on sixteen documents) for `--epochs`, keeps the weights and gradients of
the last visits, and encodes and decodes them as a trace would. Run `python benchmarks/layout.py`: a minute or
two. Times are the best of several, interleaved, per GB of float32 values.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import torch
from numcodecs import blosc

from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Update, Visit
from tracekit.training import parse_configuration, prepare, train

Row = npt.NDArray[Any]
CODECS: dict[str, tuple[bytes, int, int] | None] = {
    "none": None,
    "lz4, no shuffle": (b"lz4", 5, blosc.NOSHUFFLE),
    "lz4, bytes shuffled": (b"lz4", 5, blosc.SHUFFLE),
    "lz4, bits shuffled": (b"lz4", 5, blosc.BITSHUFFLE),
    "zstd 1, bits shuffled": (b"zstd", 1, blosc.BITSHUFFLE),
    "zstd 5, bits shuffled": (b"zstd", 5, blosc.BITSHUFFLE),
    "zstd 5, bytes shuffled": (b"zstd", 5, blosc.SHUFFLE),
}
CHUNKS_KIB = (16, 64, 128, 256, 512, 1024)


class LastRows:
    """Keep the flat weights after every visit, and the gradient of its first update."""

    def __init__(self) -> None:
        self.weights: list[Row] = []
        self.gradients: list[Row] = []

    def start(self, run: Run) -> None:
        """Take the parameters."""
        self.parameters = list(run.model.parameters())

    def before_update(self, update: Update) -> None:
        """Keep the first gradient of a visit."""
        if update.index == 0:
            self.gradients.append(flat_row([p.grad for p in self.parameters]))

    def after_update(self, update: Update, train_loss: float) -> None:
        """Keep nothing."""

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Keep the weights."""
        self.weights.append(flat_row(self.parameters))

    def finish(self, error: BaseException | None) -> None:
        """Leave everything as it is."""


def flat_row(tensors: list[Any]) -> Row:
    return torch.cat([t.detach().reshape(-1) for t in tensors]).numpy().copy()


def encode(row: Row, codec: tuple[bytes, int, int] | None, columns: int) -> list[tuple[bytes, int]]:
    chunks = []
    for start in range(0, row.size, columns):
        values = row[start : start + columns]
        data = values.tobytes() if codec is None else blosc.compress(values, *codec)
        chunks.append((data, google_crc32c.value(data)))
    return chunks


def decode(
    chunks: list[tuple[bytes, int]], out: Row, codec: tuple[bytes, int, int] | None, columns: int
) -> None:
    for number, (data, check) in enumerate(chunks):
        assert google_crc32c.value(data) == check
        part = out[number * columns : (number + 1) * columns]
        if codec is None:
            part[:] = np.frombuffer(data, out.dtype)
        else:
            blosc.decompress(data, part)


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def measure(
    row: Row, codec: tuple[bytes, int, int] | None, chunk_kib: int, repeats: int
) -> tuple[float, float, float]:
    """Give the part of the bytes that is left, and seconds per GB to encode and to decode."""
    columns = (chunk_kib << 10) // row.itemsize
    chunks, out = encode(row, codec, columns), np.empty_like(row)
    writes = [cpu_seconds(lambda: encode(row, codec, columns)) for _ in range(repeats)]
    reads = [cpu_seconds(lambda: decode(chunks, out, codec, columns)) for _ in range(repeats)]
    assert np.array_equal(out.view(np.uint8), row.view(np.uint8))
    gigabytes = row.nbytes / 1e9
    return sum(len(data) for data, _ in chunks) / row.nbytes, min(writes) / gigabytes, min(reads) / gigabytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    rows = LastRows()
    train(prepare(parse_configuration({"training": {"epochs": arguments.epochs}})), [rows])
    kinds = {"weights": rows.weights[-1], "gradients": rows.gradients[-1]}
    kinds |= {f"{name} as bfloat16": bfloat16(row) for name, row in list(kinds.items())}
    print(f"{kinds['weights'].size} parameters after {len(rows.weights) - 1} visits")
    print(f"{'values':22} {'codec':24} {'chunk':>8} {'left':>6} {'write s/GB':>10} {'read s/GB':>10}")
    wide = itertools.product(kinds, CODECS, (256,))
    deep = itertools.product(("weights",), ("none", "lz4, bits shuffled"), CHUNKS_KIB)
    for kind, codec, chunk_kib in dict.fromkeys((*wide, *deep)):
        left, write, read = measure(kinds[kind], CODECS[codec], chunk_kib, arguments.repeats)
        print(f"{kind:22} {codec:24} {chunk_kib:4} KiB {left:6.1%} {write:10.2f} {read:10.2f}")


def bfloat16(row: Row) -> Row:
    """Give the bits of the values rounded to bfloat16."""
    return torch.from_numpy(row).to(torch.bfloat16).view(torch.int16).numpy()


if __name__ == "__main__":
    main()
