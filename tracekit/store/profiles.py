"""Credentials and settings of `~/.aws`, as the tools of AWS read them.

The client itself takes them from the environment alone. What is in the environment comes first; a profile
is used where it is asked for (`AWS_PROFILE`), or where the environment has no credentials and there is one
called `default`.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

from tracekit.errors import StoreError

FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
}
PROVIDED = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
UNREAD = ("role_arn", "sso_session", "sso_start_url", "credential_process", "login_session")
DEFAULT = "default"


def profile_settings() -> dict[str, str]:
    """Give the settings of the profile that is to be used, by their names in the files; none without one.

    Raises
    ------
    StoreError
        If the profile that the environment names is not there, has credentials that only the command line of
        AWS can get, or a file cannot be read.
    """
    asked = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    if asked is None and any(os.environ.get(name) for name in PROVIDED):
        return {}
    sections = [_section(_parsed(variable), asked or DEFAULT) for variable in FILES]
    found = {key: value for section in sections for key, value in section.items()}
    if asked and not any(sections):
        raise StoreError(f"AWS_PROFILE: there is no profile {asked!r} in {' or '.join(map(_path, FILES))}")
    if asked and "aws_access_key_id" not in found and not os.environ.get("AWS_ACCESS_KEY_ID"):
        _refuse_what_is_not_read(asked, found)
    return found


def _path(variable: str) -> str:
    return str(Path(os.environ.get(variable) or FILES[variable]).expanduser())


def _parsed(variable: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read(_path(variable), encoding="utf-8")
    except (configparser.Error, OSError, ValueError) as error:
        raise StoreError(f"{_path(variable)}: cannot be read as settings of AWS ({error})") from error
    return parser


def _section(parser: configparser.RawConfigParser, name: str) -> dict[str, str]:
    """Give a profile's settings: the section `[profile name]` in one file, and `[name]` in the other."""
    titles = (f"profile {name}", name)
    return next((dict(parser[title]) for title in titles if parser.has_section(title)), {})


def _refuse_what_is_not_read(profile: str, found: Mapping[str, str]) -> None:
    for key in UNREAD:
        if key in found:
            raise StoreError(
                f"AWS_PROFILE: the credentials of {profile!r} come by {key}, which is not read here; take "
                f"them over first: eval $(aws configure export-credentials --profile {profile} --format env)"
            )
