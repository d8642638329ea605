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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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


def signs_of(words: Words) -> npt.NDArray[np.float32]:
    """Give 1 for every even word, and −1 for every odd one."""
    return 1 - 2 * (words & np.uint64(1)).astype(np.float32)


class CountSketch:
    """Sketches tensors, each with the blocks that its place among all tensors gives it.

    Every tensor begins a new block. Where each block goes is looked up once and kept, about a kilobyte for k
    elements.

    Parameters
    ----------
    sizes : sequence of int
        Elements of each tensor.
    n_components : int
        Length of a sketch, k.
    seed : int
        Decides all random numbers.

    Examples
    --------
    >>> sketch = CountSketch([5, 3], n_components=4, seed=0)
    >>> parts = torch.arange(5.0), torch.ones(3)
    >>> whole = sketch(dict(enumerate(parts)))
    >>> bool((whole == sketch({0: parts[0]}) + sketch({1: parts[1]})).all())
    True
    """

    def __init__(self, sizes: Sequence[int], n_components: int, seed: int) -> None:
        self.n_components, self.seed = n_components, seed
        self._first_blocks = np.cumsum([0, *(-(-size // n_components) for size in sizes)]).tolist()
        n_blocks, n_table = self._first_blocks[-1], TABLE * n_components
        self._rotations = (draw(seed, ROTATIONS, 0, n_blocks) % np.uint64(n_components)).tolist()
        self._places = (draw(seed, PLACES, 0, n_blocks) % np.uint64(n_table)).tolist()
        self._orientations = signs_of(draw(seed, ORIENTATIONS, 0, n_blocks)).tolist()
        self._workspaces: dict[torch.device, _Workspace] = {}

    def __call__(
        self, tensors: Mapping[int, torch.Tensor], starts: Mapping[int, int] | None = None
    ) -> torch.Tensor:
        """Sketch tensors, by their number, into one sum; each on its own device, the sum in main memory.

        Of a tensor that is not there as a whole, `starts` says at which element the part begins that is.
        """
        used = {tensor.device: self._workspace(tensor.device) for tensor in tensors.values()}
        for workspace in used.values():
            workspace.total.zero_()
        for number, tensor in tensors.items():
            steps = self._steps(number, (starts or {}).get(number, 0), tensor, used[tensor.device])
            steps.add_products(tensor.detach().reshape(-1))
        sketch = torch.zeros(self.n_components)
        for workspace in used.values():
            sketch += workspace.total.view(2, -1).sum(0).cpu()
        return sketch

    def _steps(self, number: int, start: int, tensor: torch.Tensor, workspace: _Workspace) -> _Steps:
        """Give what is done with each block of a tensor, or of a part of it that begins at an element."""
        key = number, start, tensor.numel()
        if key not in workspace.steps:
            workspace.steps[key] = self._new_steps(*key, workspace)
        return workspace.steps[key]

    def _new_steps(self, number: int, start: int, size: int, workspace: _Workspace) -> _Steps:
        end, steps = start + size, _Steps()
        while start < end:
            block, skipped = divmod(start, self.n_components)
            block += self._first_blocks[number]
            n = min(self.n_components - skipped, end - start)
            rotation, place = self._rotations[block] + skipped, self._places[block] + skipped
            steps.sizes.append(n)
            steps.targets.append(workspace.total[rotation : rotation + n])
            steps.signs.append(workspace.signs[place : place + n])
            steps.orientations.append(self._orientations[block])
            start += n
        return steps

    def _workspace(self, device: torch.device) -> _Workspace:
        if device not in self._workspaces:
            words = draw(self.seed, SIGNS, 0, (TABLE + 1) * self.n_components)
            self._workspaces[device] = _Workspace(
                torch.zeros(2 * self.n_components, device=device),
                torch.from_numpy(signs_of(words)).to(device),
            )
        return self._workspaces[device]


@dataclass(frozen=True, eq=False)
class _Steps:
    """For each block of a tensor its size, the part of the sum, the signs and the orientation."""

    sizes: list[int] = field(default_factory=list)
    targets: list[torch.Tensor] = field(default_factory=list)
    signs: list[torch.Tensor] = field(default_factory=list)
    orientations: list[float] = field(default_factory=list)

    def add_products(self, values: torch.Tensor) -> None:
        """Add blocks times signs to the sum. Targets overlap, so that it must be one block after another."""
        blocks = values.split_with_sizes(self.sizes)  # torch.split is slower by a fifth of all of this
        if values.is_cpu and blocks:  # one call there does just that
            torch._foreach_addcmul_(self.targets, blocks, self.signs, self.orientations)
            return
        for target, block, signs, orientation in zip(
            self.targets, blocks, self.signs, self.orientations, strict=True
        ):
            target.addcmul_(block, signs, value=orientation)


@dataclass(frozen=True, eq=False)
class _Workspace:
    """What sketching takes on one device.

    `total` has twice the length of a sketch, so that rotated blocks need not be cut: the second half is added
    to the first in the end.
    """

    total: torch.Tensor
    signs: torch.Tensor
    steps: dict[tuple[int, int, int], _Steps] = field(default_factory=dict)
