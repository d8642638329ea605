"""The table of metrics in the documentation names every public function, and every command of ours."""

import re
import tomllib
from pathlib import Path

import analyses

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "metrics.md").read_text()
BUILDING_BLOCKS = {"gram", "per_visit"}


def test_every_public_function_is_in_the_table():
    named = set(re.findall(r"`(\w+)`", TABLE))
    assert set(analyses.__all__) - named - BUILDING_BLOCKS == set()


def test_every_command_is_in_the_table():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    commands = set(project["entry-points"]["tracekit.analyses"])
    assert commands - set(re.findall(r"tracekit analyze ([\w-]+)", TABLE)) == set()
