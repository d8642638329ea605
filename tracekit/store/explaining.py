"""What a person can do about the errors of an object store."""

from __future__ import annotations

import re

# what the settings of a provider are called
_SETTINGS = {
    "s3": {
        "credentials": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "unsigned": "AWS_SKIP_SIGNATURE=true",
        "http": "AWS_ALLOW_HTTP=true",
        "endpoint": "AWS_ENDPOINT_URL",
    },
    "gs": {
        "credentials": "GOOGLE_APPLICATION_CREDENTIALS",
        "unsigned": "GOOGLE_SKIP_SIGNATURE=true",
        "http": "GOOGLE_ALLOW_HTTP=true",
        "endpoint": "GOOGLE_BASE_URL",
    },
}
# what an error's text holds, and what to say then; the first that fits is taken
_ADVICE = (
    (r"NoSuchBucket|bucket does not exist", "there is no such bucket; create it first, or check the URL"),
    (
        r"169\.254\.169\.254|instance metadata|/api/token|credentials endpoint|metadata\.google",
        "found no credentials; set {credentials}, or {unsigned} for a public bucket",
    ),
    (r"401 |Unauthenticated", "the credentials are not accepted; check {credentials}"),
    (r"403 ", "access is denied; check what the credentials in the environment may do in this bucket"),
    (r"Could not parse path", "no object can be called this; leave out empty parts, . and .."),
    (
        r"builder error",
        "plain http is refused unless the endpoint is on this machine; use https, or set {http}",
    ),
    (
        r"error sending request|timed out|Connect",
        "the store cannot be reached; check the network and {endpoint}",
    ),
)
_OTHERWISE = "the store refused; check the URL, and the settings in the environment"


def names_no_bucket(error: Exception) -> bool:
    """Say whether it is the whole bucket that was not found."""
    return re.search(_ADVICE[0][0], str(error)) is not None


def explained(place: str, error: Exception) -> str:
    """Say where a request failed, what to do, and the store's own reason.

    Examples
    --------
    >>> explained("s3://bucket/run.zarr", OSError("403 Forbidden: <Code>AccessDenied</Code>"))[:38]
    's3://bucket/run.zarr: access is denied'
    """
    text = str(error)
    words = next((advice for pattern, advice in _ADVICE if re.search(pattern, text)), _OTHERWISE)
    settings = _SETTINGS[place.partition("://")[0]]
    return f"{place}: {words.format_map(settings)} ({_reason(text)})"


def _reason(text: str) -> str:
    """Take the code that a server gave, or the last part of the first line."""
    code = re.search(r"<Code>(\w+)</Code>", text)
    return code[1] if code else text.split("\n", 1)[0].rpartition(" - ")[2][:200]
