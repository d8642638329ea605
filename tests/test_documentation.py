"""What README and docs tell to type can be typed: commands parse, imports and links lead somewhere."""

import ast
import importlib
import re
import runpy
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from tracekit.cli.main import cli
from tracekit.testing.written import write_example_trace

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = [page for page in PAGES if page.name != "plugins.md"]  # that one tells of a package not installed
COMMENTED = [*ROOT.glob("examples/*.yaml"), *ROOT.glob("examples/*.py")]


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def shell_lines(page):
    return [line for block in blocks(page, "sh") for line in block.splitlines() if line.strip()]


def require_parsed(line):
    command, words = cli, shlex.split(line, comments=True)[1:]
    while isinstance(command, click.Group):
        _, command, words = command.resolve_command(click.Context(command), words)
    command.make_context(command.name, words)


@pytest.mark.parametrize("page", OURS, ids=name_of)
def test_every_command_parses(page):
    for line in shell_lines(page):
        if line.startswith("tracekit "):
            require_parsed(line)


@pytest.mark.parametrize("path", COMMENTED, ids=name_of)
def test_every_command_in_the_head_of_an_example_parses(path):
    for line in re.findall(r"^#? +(tracekit .*)$", path.read_text(), re.M):
        require_parsed(line)


def test_a_misspelt_command_would_be_found():
    for line in ("tracekit tabel runs/*.zarr", "tracekit analyze recovery run.zarr --kindd weights"):
        with pytest.raises(click.UsageError):
            require_parsed(line)


@pytest.mark.parametrize("page", OURS, ids=name_of)
def test_every_import_is_there(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                assert [each.name for each in node.names if not hasattr(module, each.name)] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_path_extra_and_target_of_the_readme_is_there():
    text = (ROOT / "README.md").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"tracekit-ml\[(\w+)\]", text)) <= set(extras)
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", text, re.M)) <= targets
    paths = re.findall(r"`((?:tracekit|recorders|analyses|tests|examples|benchmarks)/[\w/.-]*)", text)
    paths += re.findall(r"examples/\w+\.\w+", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_figures_of_the_paper_are_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [write_example_trace(f"{order}.zarr", n_tasks=4, order=order) for order in ("cyclic", "shuffled")]
    runpy.run_path(str(ROOT / "examples" / "paper_figures.py"))["main"](*paths)
    drawn = {path.name: path.read_bytes()[:4] for path in tmp_path.glob("*.png")}
    assert drawn == dict.fromkeys(("recovery.png", "similarity-weights.png", "task-loss.png"), b"\x89PNG")
