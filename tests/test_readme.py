"""The README is run: its Python in one session, its commands through the command line, its outputs compared."""

import io
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.M | re.S)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("readme")


def test_readme_python_prints_what_the_readme_says(place, monkeypatch):
    monkeypatch.chdir(place)
    session: dict = {}
    shown, expected = [], []
    for (kind, code), (next_kind, text) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if kind != "python":
            continue
        out = io.StringIO()
        with redirect_stdout(out):
            exec(compile(code, "README.md", "exec"), session)
        if next_kind == "text":
            shown.append(out.getvalue())
            expected.append(text)
    assert shown == expected
    assert shown, "the README shows no output of its Python"


def test_readme_commands_run_and_print_what_the_readme_says(place):
    commands = [c for kind, block in BLOCKS if kind == "console" for c in re.split(r"^\$ ", block, flags=re.M)[1:]]
    assert commands
    for command in commands:
        line, _, expected = command.partition("\n")
        arguments = shlex.split(line, comments=True)
        if arguments[0] != "flame":
            continue
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=place, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        if expected.strip():
            assert done.stdout == expected


def test_readme_names_only_make_targets_and_modules_that_exist():
    makefile = (ROOT / "Makefile").read_text("utf8")
    for target in re.findall(r"\bmake ([a-z]+)", README):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
    for module in re.findall(r"python -m (experiments\.\w+)", README):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


def test_readme_results_are_those_that_the_experiment_wrote():
    for name, table in re.findall(r"<!-- (experiments/results/\w+\.md) -->\n(.*?)\n<!-- end -->", README, flags=re.S):
        assert (ROOT / name).read_text("utf8").strip() == table.strip(), name
    assert "experiments/results/tabular.md" in README
