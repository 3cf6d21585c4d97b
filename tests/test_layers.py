"""Which folder may import which, and what an import may cost; the rules stand in the house style."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEAVES = {"flame.errors", "flame.metadata"}
BELOW = {
    # An experiment may also look at the parts that it measures.
    "experiments": {"flame", "hypernet", "targets", "requirements_prompts"},
    "flame": {"hypernet", "targets", "requirements_prompts"},
    "hypernet": {"targets"},
    "targets": set(),
    "requirements_prompts": set(),
}
LAZY = {
    "openai",
    "datasets",
    "lightning",
    "torchvision",
    "peft",
    "onnx",
    "onnxruntime",
    "fastapi",
    "uvicorn",
    "ucimlrepo",
}
LIGHTNING_FILES = {
    "flame/tuning.py",
    "hypernet/module.py",
    "hypernet/pairs.py",
    "hypernet/timed.py",
    "hypernet/tables/module.py",
    "hypernet/adapters/module.py",
}
NEED_LIGHTNING = LIGHTNING_FILES | {
    "flame/table/pretraining.py",
    "flame/text/training.py",
    "flame/picture/fitting.py",
    "flame/picture/training.py",
}
FILES = sorted(p for folder in BELOW for p in (ROOT / folder).rglob("*.py"))
EVERY_FILE = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))


def names_in(node, folder):
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {".".join([*[folder] * bool(node.level), *filter(None, [node.module])])}
    return set()


def imports(path):
    """Every module that a file names in an import, anywhere in it."""
    folder = path.relative_to(ROOT).parts[0]
    return set().union(*(names_in(n, folder) for n in ast.walk(ast.parse(path.read_text("utf8")))))


def imports_at_the_top(path):
    """Modules that are imported as soon as the file is: outside functions and outside `if TYPE_CHECKING`."""
    found, waiting = set(), list(ast.parse(path.read_text("utf8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        found |= names_in(node, path.relative_to(ROOT).parts[0])
        waiting += ast.iter_child_nodes(node)
    return found


def within(name, allowed):
    return any(name == a or name.startswith(f"{a}.") for a in allowed)


def test_every_folder_has_files():
    assert {p.relative_to(ROOT).parts[0] for p in FILES} == set(BELOW)


@EVERY_FILE
def test_a_file_imports_only_from_its_own_folder_and_those_below(path):
    folder = path.relative_to(ROOT).parts[0]
    ours = {name for name in imports(path) if name.split(".")[0] in BELOW}
    assert {n for n in ours if not within(n, {folder, *BELOW[folder], *LEAVES})} == set()


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_a_leaf_imports_only_leaves_pydantic_and_the_standard_library(name):
    path = ROOT / f"{name.replace('.', '/')}.py"
    others = {n for n in imports(path) if n.split(".")[0] not in sys.stdlib_module_names}
    assert {n for n in others if not within(n, {"pydantic", *LEAVES})} == set()


@pytest.mark.parametrize("path", sorted((ROOT / "targets").glob("*.py")), ids=lambda p: p.name)
def test_targets_know_torch_and_its_model_libraries_alone(path):
    others = {n.split(".")[0] for n in imports(path)} - sys.stdlib_module_names - {"flame", "targets"}
    assert others <= {"torch", "transformers", "torchvision", "peft"}


@pytest.mark.parametrize("path", sorted((ROOT / "requirements_prompts").rglob("*.py")), ids=lambda p: p.name)
def test_the_words_need_nothing_but_the_standard_library(path):
    others = {n.split(".")[0] for n in imports(path)} - sys.stdlib_module_names
    assert others <= {"flame", "requirements_prompts"}


@EVERY_FILE
def test_optional_and_slow_libraries_are_imported_where_they_are_used(path):
    allowed = {"lightning"} if path.relative_to(ROOT).as_posix() in LIGHTNING_FILES else set()
    assert {n for n in imports_at_the_top(path) if n.split(".")[0] in LAZY - allowed} == set()


@EVERY_FILE
def test_the_files_that_need_lightning_are_imported_where_they_are_used(path):
    place = path.relative_to(ROOT).as_posix()
    if place not in NEED_LIGHTNING and not place.startswith("experiments/"):
        names = {name.removesuffix(".py").replace("/", ".") for name in NEED_LIGHTNING}
        assert imports_at_the_top(path) & names == set()


@pytest.mark.parametrize(
    "statement", ["import flame", "import flame.cli", "import flame.metadata, requirements_prompts"]
)
def test_an_import_loads_no_heavy_library(statement):
    code = f"{statement}; import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert loaded & {"torch", "pandas", "numpy", "transformers", "sklearn", "lightning", "scipy"} == set()


def test_using_a_checkpoint_loads_no_trainer():
    code = "import flame; flame.load_generator, flame.load; import sys; print('lightning' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
