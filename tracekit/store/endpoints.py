"""Which server is meant by `s3://`, as the environment says."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from tracekit.errors import StoreError

VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
IN_PROFILE = "endpoint_url"


def s3_endpoint(profile: Mapping[str, str]) -> str | None:
    """Give the server that the environment or a profile names, or None for the provider's own.

    Raises
    ------
    StoreError
        If what it names is not the URL of a server.
    """
    named = {name: os.environ.get(name) for name in VARIABLES} | {IN_PROFILE: profile.get(IN_PROFILE)}
    variable, endpoint = next(((name, value) for name, value in named.items() if value), ("", None))
    if endpoint is None:
        return None
    if not _is_a_server(endpoint):
        raise StoreError(
            f"{variable}: expected http://HOST:PORT or https://HOST, found {endpoint!r}; set it to the URL "
            "of the object store, or unset it"
        )
    return endpoint


def plain_http_is_safe(endpoint: str | None) -> bool:
    """Say whether http may be used: on this machine, or where the user says so.

    Examples
    --------
    >>> plain_http_is_safe("http://127.0.0.1:9000"), plain_http_is_safe("http://10.0.0.7:9000")
    (True, False)
    """
    if os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"):
        return True
    host = urlsplit(endpoint or "").hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_a_server(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
