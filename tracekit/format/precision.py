"""Number types that Zarr does not know, kept as the bits of their values.

A bfloat16 is the upper half of a float32 (https://arxiv.org/abs/1905.12322). Its bits are stored as
uint16, the attribute `bits_of` of the array says what they are, and they are read as float32, which holds
every value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

BITS_OF = "bits_of"
"""Attribute of an array whose values are the bits of another type."""
BFLOAT16 = "bfloat16"
MISSING_BFLOAT16 = 0x7FC0
"""Bits of the NaN that stands for "never written"; as float32, NumPy's own NaN."""


def array_dtype(name: str) -> np.dtype[Any]:
    """Give the type of the arrays that hold values of a type, little-endian.

    Examples
    --------
    >>> array_dtype("bfloat16").name, array_dtype("float16").name
    ('uint16', 'float16')
    """
    dtype = np.dtype("uint16" if name == BFLOAT16 else name)
    return np.dtype(dtype.newbyteorder("<").str)  # called native where it is, by which other libraries go


def from_bfloat16(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Give the values whose bits are given, all of them exactly.

    Examples
    --------
    >>> from_bfloat16(np.array([0x3F80, 0xC000, 0x7FC0], np.uint16))
    array([ 1., -2., nan], dtype=float32)
    """
    wide = bits.astype("<u4")
    wide <<= 16
    values: npt.NDArray[np.float32] = wide.view("<f4")
    return values


def to_bfloat16(values: npt.ArrayLike) -> npt.NDArray[np.uint16]:
    """Give the bits of values rounded to the nearest bfloat16, to the even one of two as near.

    Examples
    --------
    >>> [hex(bits) for bits in to_bfloat16([1.0, 1.00390625, 1.01171875, np.inf, np.nan]).tolist()]
    ['0x3f80', '0x3f80', '0x3f82', '0x7f80', '0x7fc0']
    """
    single = np.asarray(values, "<f4")
    wide = np.atleast_1d(single).view("<u4")
    odd = (wide >> 16) & 1
    rounded = ((wide + 0x7FFF + odd) >> 16).astype(np.uint16).reshape(single.shape)
    return np.where(np.isnan(single), np.uint16(MISSING_BFLOAT16), rounded)
