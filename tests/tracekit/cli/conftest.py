"""Commands that must end in a message."""

import sys

import pytest

from tracekit.cli.main import main


@pytest.fixture
def refused(monkeypatch, capsys):
    """Run a command that cannot be done, and give what it says: one message, no traceback."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tracekit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (1, 2)
        message = capsys.readouterr().err
        assert "Error: " in message
        assert "Traceback" not in message
        return " ".join(message.split())

    return run
