"""Units of what is computed, from those of what it is computed from. Values that name none have none: "1"."""

from __future__ import annotations

import xarray as xr

NONE = "1"


def units_of(values: xr.DataArray) -> str:
    """Give the units of values.

    Examples
    --------
    >>> units_of(xr.DataArray(2.0, attrs={"units": "nats per token"}))
    'nats per token'
    >>> units_of(xr.DataArray(2.0))
    '1'
    """
    return str(values.attrs.get("units") or NONE)


def squared(units: str) -> str:
    """Give the units of products of two values.

    Examples
    --------
    >>> squared("nats per token"), squared("1")
    ('(nats per token)²', '1')
    """
    return NONE if units == NONE else f"({units})²"


def root(units: str) -> str:
    """Give the units whose square these are.

    Examples
    --------
    >>> root("(nats per token)²"), root("1")
    ('nats per token', '1')
    """
    return units.removeprefix("(").removesuffix(")²") if units.endswith(")²") else NONE
