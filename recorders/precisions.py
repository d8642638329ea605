"""Tensors kept with fewer bits than they have: a form that loses digits, on request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy.typing as npt

from recorders.copying import copy_row
from recorders.tensors import Tensors
from tracekit.format.precision import array_dtype
from tracekit.format.schema import Rows
from tracekit.protocols import Run
from tracekit.writing.putting import Wait

Precision = Literal["bfloat16", "float16", "float32"]


class Rounded:
    """Every value, rounded to the nearest one of a type of fewer bits (ties to even).

    bfloat16 has the range of float32 and 8 significant bits: a relative error of at most 2⁻⁸. float16 has 11
    bits, at most 2⁻¹¹, from 6e-5 to 65504; beyond, it is infinite, and small values, such as many gradients,
    lose digits or are zero. Tensors of no more bits than asked for stay as they are.

    Parameters
    ----------
    dtype : {"bfloat16", "float16", "float32"}
        The type.
    """

    def __init__(self, dtype: Precision) -> None:
        self._dtype = dtype

    def declare(self, full: Rows, run: Run) -> Rows:
        """Give the same rows, of fewer bits."""
        self._sizes = [field.size for field in full.fields]
        if array_dtype(full.dtype).itemsize < array_dtype(self._dtype).itemsize:
            return full
        return replace(full, dtype=self._dtype)

    def fill(self, row: npt.NDArray[Any], tensors: Tensors, place: int) -> Wait | None:
        """Copy the tensors; it is the copying that rounds."""
        return copy_row(row, tensors, self._sizes)
