"""Count-sketch: a seeded random projection to few components that keeps inner products, in one pass.

A tensor is cut into blocks of k elements. Block b is multiplied by k random signs, rotated by r_b places and
added to the sketch: element j of it goes to component (j + r_b) mod k. So every element has a random sign and
a random component, as in [1]_, but whole blocks move at once, at the speed of memory; no index is stored.

The signs of block b are the k that begin at place t_b of one table of N + k random signs, all of them turned
over if o_b says so. Components of a pair of elements of one block differ; those of two blocks collide with
probability 1/k, since rotations are independent and uniform. With orientations o_b independent, products of
different pairs of blocks do not correlate; within a pair of blocks they do only where the two places in the
table fall on each other. Hence for the sketches Sx and Sy of two rows x and y:

    E⟨Sx, Sy⟩ = ⟨x, y⟩,   Var⟨Sx, Sy⟩ ≤ (1 + (2 k + 3) / N) (‖x‖² ‖y‖² + ⟨x, y⟩²) / k ≤ 2.6 ‖x‖² ‖y‖² / k

with N = 8 k as here; [1]_ has 2 ‖x‖² ‖y‖² / k for one hash of every element. A cosine has a standard error of
about √((1 − c²)² / k) ≤ 1/√k, and stays within 3/√k. Sketches are linear: that of a sum, a mean or a
difference is the sum, mean or difference of sketches, and so are principal components and distances.

All random numbers are the splitmix64 hash of a counter [2]_, so that anyone can draw them again: see `draw`.

References
----------
.. [1] Charikar, Chen, Farach-Colton (2002), Finding frequent items in data streams,
   doi:10.1016/S0304-3975(03)00400-6. Sparse projections with such guarantees: Achlioptas (2003),
   doi:10.1016/S0022-0000(03)00025-4; Kane, Nelson (2014), doi:10.1145/2559902.
.. [2] Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators,
   doi:10.1145/2660193.2660195.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import torch

TABLE = 8
"""Length of the table of signs, N, in multiples of k."""

GOLDEN = 0x9E3779B97F4A7C15
SIGNS, ROTATIONS, PLACES, ORIENTATIONS = range(4)
Words = npt.NDArray[np.uint64]


def draw(seed: int, stream: int, first: int, n: int) -> Words:
    """Draw the random 64-bit words number `first` to `first + n` of a stream.

    Word i of stream s is mix(mix(4 · seed + s) + i · 0x9E3779B97F4A7C15), where mix(z) is the number that
    splitmix64 gives first from state z. Streams: 0 signs (the lowest bit of a word: 1 stands for −1),
    1 rotations r_b (word mod k), 2 places t_b (word mod N), 3 orientations o_b (lowest bit).

    Examples
    --------
    >>> [hex(word) for word in draw(0, 0, first=0, n=2)]
    ['0xa706dd2f4d197e6f', '0xb382a305f4414f5e']
    """
    with np.errstate(over="ignore"):
        start = _mix(np.array([4 * seed + stream], np.uint64))
        return _mix(start + np.arange(first, first + n, dtype=np.uint64) * np.uint64(GOLDEN))


def _mix(words: Words) -> Words:
    words = words + np.uint64(GOLDEN)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


class CountSketch:
    """Adds tensors to a sketch, each with the blocks that its place among all tensors gives it.

    Parameters
    ----------
    sizes : sequence of int
        Elements of each tensor. Every tensor begins a new block.
    n_components : int
        Length of the sketch, k.
    seed : int
        Decides all random numbers.
    """

    def __init__(self, sizes: Sequence[int], n_components: int, seed: int) -> None:
        self.n_components, self.seed = n_components, seed
        n_blocks = [-(-size // n_components) for size in sizes]
        self._first = [sum(n_blocks[:tensor]) for tensor in range(len(sizes))]
        total = sum(n_blocks)
        n_table = TABLE * n_components
        self._rotations = (draw(seed, ROTATIONS, 0, total) % np.uint64(n_components)).tolist()
        places = (draw(seed, PLACES, 0, total) % np.uint64(n_table)).astype(np.int64)
        turned = (draw(seed, ORIENTATIONS, 0, total) & np.uint64(1)).astype(np.int64)
        # the second half of the table is the first one turned over
        self._places = (places + turned * (n_table + n_components)).tolist()
        self._table = cache(self._make_table)

    def accumulator(self, device: torch.device) -> torch.Tensor:
        """Give room for a sketch, with as much again for what rotations push over its end."""
        return torch.zeros(2 * self.n_components, device=device)

    def add(self, accumulator: torch.Tensor, tensor: torch.Tensor, number: int) -> None:
        """Add tensor `number` to a sketch, on the tensor's own device."""
        signs = self._table(tensor.device)
        blocks = torch.split(tensor.detach().reshape(-1), self.n_components)
        for block, (rotation, place) in zip(blocks, self._draws(number), strict=False):
            n = len(block)
            accumulator[rotation : rotation + n].addcmul_(block, signs[place : place + n])

    def finish(self, accumulator: torch.Tensor) -> torch.Tensor:
        """Give the sketch, dims (component,)."""
        return accumulator[: self.n_components] + accumulator[self.n_components :]

    def _draws(self, number: int) -> Iterator[tuple[int, int]]:
        first = self._first[number]
        return zip(self._rotations[first:], self._places[first:], strict=True)

    def _make_table(self, device: torch.device) -> torch.Tensor:
        words = draw(self.seed, SIGNS, 0, (TABLE + 1) * self.n_components)
        signs = 1 - 2 * (words & np.uint64(1)).astype(np.float32)
        return torch.from_numpy(np.concatenate([signs, -signs])).to(device)
