"""Credentials, region and endpoint of a profile in `~/.aws`."""

import pytest

from tracekit import open_trace
from tracekit.errors import StoreError
from tracekit.store import clients, open_store
from tracekit.store.profiles import profile_settings
from tracekit.testing.written import write_example_trace

KEYS = "aws_access_key_id = testing\naws_secret_access_key = testing\n"


@pytest.fixture
def home(s3, server, tmp_path, monkeypatch):
    """A home with the files of AWS, and an environment that says nothing of it."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION", "DEFAULT_REGION", "ENDPOINT_URL", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(clients, "RETRIES", {"max_retries": 0})

    def write(credentials, config):
        folder = tmp_path / ".aws"
        folder.mkdir(exist_ok=True)
        (folder / "credentials").write_text(credentials)
        (folder / "config").write_text(config)

    return write


@pytest.mark.parametrize("profile", [None, "lab"])
def test_a_trace_is_written_and_read_with_a_profile(home, s3, server, monkeypatch, profile):
    title, section = profile or "default", f"profile {profile}" if profile else "default"
    home(f"[{title}]\n{KEYS}", f"[{section}]\nregion = eu-west-3\nendpoint_url = {server.endpoint}\n")
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    path = write_example_trace(f"{s3}/run.zarr")
    assert open_trace(path)["losses"].sizes["visit"] == 7
    assert profile_settings()["region"] == "eu-west-3"


def test_the_environment_comes_first(home, s3, server, monkeypatch):
    home(f"[lab]\n{KEYS}", "[profile lab]\nendpoint_url = http://127.0.0.1:1\n")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    with pytest.raises(StoreError, match="cannot be reached"):
        open_store(f"{s3}/run.zarr").put("a", b"1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    open_store(f"{s3}/run.zarr").put("a", b"1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of the environment")
    assert "access_key_id" not in clients._s3_settings()
    monkeypatch.delenv("AWS_PROFILE")
    assert profile_settings() == {}


@pytest.mark.parametrize(
    ("credentials", "config", "words"),
    [
        (
            "",
            "[profile other]\nregion = a\n",
            r"AWS_PROFILE: there is no profile 'lab' in .*/\.aws/credentials or",
        ),
        ("", "[profile lab]\nsso_session = x\n", r"come by sso_session, .*export-credentials --profile lab"),
        ("", "[profile lab]\nrole_arn = x\n", "come by role_arn"),
        ("no section\n", "", r"\.aws/credentials: cannot be read as settings of AWS"),
        (f"[lab]\n{KEYS}", "[profile lab]\nendpoint_url = nonsense\n", r"endpoint_url: expected http://HOST"),
    ],
)
def test_what_cannot_be_used_is_named(home, s3, monkeypatch, credentials, config, words):
    home(credentials, config)
    monkeypatch.setenv("AWS_PROFILE", "lab")
    with pytest.raises(StoreError, match=words):
        open_store(f"{s3}/run.zarr")
