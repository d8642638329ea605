"""Plug-ins: built-ins and strangers come in through the same door."""

import importlib.metadata

import pytest
from click.testing import CliRunner

from tracekit import plugins
from tracekit.cli.main import cli
from tracekit.errors import ConfigurationError, PluginError


@pytest.fixture
def strangers(monkeypatch):
    """Two plug-ins of other packages, one of them broken."""
    real = plugins._entries

    def entries(group):
        added = [
            importlib.metadata.EntryPoint("fine", "json:dumps", group),
            importlib.metadata.EntryPoint("broken", "no_such_module:thing", group),
            importlib.metadata.EntryPoint("hollow", "json:no_such_name", group),
        ]
        return importlib.metadata.EntryPoints([*real(group), *added])

    monkeypatch.setattr(plugins, "_entries", entries)
    for cached in (plugins.names, plugins.load):
        cached.cache_clear()
    yield
    monkeypatch.undo()
    for cached in (plugins.names, plugins.load):
        cached.cache_clear()


def test_a_strangers_plugin_is_listed_and_loaded(strangers):
    import json

    assert "fine" in plugins.names("tracekit.analyses")
    assert plugins.load("tracekit.analyses", "fine") is json.dumps


@pytest.mark.parametrize("name", ["broken", "hollow"])
def test_a_broken_plugin_names_itself(strangers, name):
    with pytest.raises(PluginError, match=rf"'{name}' \(.*cannot be loaded"):
        plugins.load("tracekit.analyses", name)


def test_a_broken_command_does_not_hide_the_others(strangers):
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    assert "Warning: tracekit.commands: 'broken'" in result.output
    assert "analyze" in result.output


def test_a_broken_plugin_is_listed_as_such(strangers):
    result = CliRunner().invoke(cli, ["list", "--json"])
    assert result.exit_code == 0
    assert "not available" in result.output


def test_options_are_checked_before_anything_is_made():
    with pytest.raises(ConfigurationError, match="weights: no option 'evry': did you mean 'every'"):
        plugins.make("tracekit.recorders", "weights", {"evry": 2})
    with pytest.raises(ConfigurationError, match="weights: every: expected 1 visit or more, found 0"):
        plugins.make("tracekit.recorders", "weights", {"every": 0})


def test_every_builtin_can_be_loaded():
    for group in ("tracekit.commands", "tracekit.recorders", "tracekit.analyses", "tracekit.figures"):
        assert plugins.names(group)
        for name in plugins.names(group):
            assert plugins.load(group, name) is not None
