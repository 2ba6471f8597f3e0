"""The arrows between the layers, the door to processes, and the size of modules."""

import ast
import sys
from pathlib import Path

import pytest

from appliance.artifacts.kinds import KINDS
from appliance.cli.app import VERBS
from appliance.trust.algorithms import ALGORITHMS

PACKAGE = Path(__file__).parents[2] / "appliance"

# What each layer may import beside itself, the standard library and other people's packages.
BELOW_TOOLS = {"formats", "model", "errors"}
ALLOWED = {
    "errors": set(),
    "model": {"errors"},
    "formats": {"model", "errors"},
    "tools": BELOW_TOOLS,
    "artifacts": {"tools", *BELOW_TOOLS},
    "trust": {"tools", *BELOW_TOOLS},
    "store": {"tools", *BELOW_TOOLS},
    "steps": {"artifacts", "trust", "store", "tools", *BELOW_TOOLS},
    # The command line makes the cache and the typed options that it hands to a step.
    "cli": {"steps", "store", "trust", *BELOW_TOOLS},
    "__main__": {"cli"},
    # Runs on a bare host before anything else of ours or of others is installed.
    "bootstrap": set(),
    "__init__": set(),
}
# Where processes are started.  The bootstrap has a door of its own because it cannot import ours, and starts itself
# once more where its caller's Python might take modules from elsewhere.
DOORS = {PACKAGE / "tools/run.py", PACKAGE / "bootstrap/programs.py", PACKAGE / "bootstrap/__main__.py"}
KIND_NAMES = {"weights", "images", "wheels", "os-packages", "docs", "advisories"}
KIND_BLIND = ("model", "formats", "store", "trust")

MODULES = sorted(PACKAGE.rglob("*.py"))
SITE_MODULES = sorted((PACKAGE.parent / "ansible/appliance_site").rglob("*.py"))


def layer(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(module: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_layer_has_its_place_and_every_place_is_a_layer() -> None:
    assert {layer(module) for module in MODULES} == set(ALLOWED)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_follow_the_arrows(module: Path) -> None:
    own = {name.split(".")[1] for name in imports(module) if name.startswith("appliance.")} - {"__version__"}
    assert own - {layer(module)} <= ALLOWED[layer(module)]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_only_run_starts_processes(module: Path) -> None:
    if module in DOORS:
        return
    assert not {name for name in imports(module) if name.split(".")[0] in {"subprocess", "multiprocessing", "pty"}}
    attributes = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Attribute)]
    # A host's system is a field of what it says.
    calls = {node.attr for node in attributes if ast.unparse(node) != "install.system"}
    assert not calls & {"system", "popen", "execv", "execve", "spawnv", "fork"}


@pytest.mark.parametrize("module", [m for m in MODULES if layer(m) == "bootstrap"], ids=str)
def test_the_bootstrap_needs_nothing_but_python(module: Path) -> None:
    others = {name for name in imports(module) if not name.startswith("appliance.bootstrap.")}
    assert {name.split(".")[0] for name in others} <= sys.stdlib_module_names


@pytest.mark.parametrize("module", [m for m in MODULES if layer(m) in KIND_BLIND], ids=str)
def test_only_the_kinds_and_what_uses_them_name_a_kind(module: Path) -> None:
    texts = {node.value for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Constant)}
    assert not texts & KIND_NAMES


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_one_table_tells_algorithms_apart(module: Path) -> None:
    # Tokens speak of keys in terms of their own; kernel modules and others' images are signed with RSA, which trust
    # never takes.
    others = {PACKAGE / "tools" / name for name in ("pkcs11.py", "module_keys.py", "upstream_keys.py")}
    if module in {PACKAGE / "trust/algorithms.py", *others}:
        return
    names = {algorithm.name for algorithm in ALGORITHMS}
    texts = {node.value for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Constant)}
    assert not texts & names
    assert not {name for name in imports(module) if ".asymmetric." in name}


def test_each_file_of_the_steps_is_a_verb() -> None:
    """Or one of the folders with what several verbs share."""
    rooms = {
        path.stem for path in (PACKAGE / "steps").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    shared = {"__init__", "documents", "host", "sealing", "site"}
    assert shared <= rooms
    # "import" is a word of Python's own.
    assert {name.partition("_")[0] for name in rooms - shared} <= set(VERBS)


def test_every_kind_has_a_folder_of_one_form() -> None:
    folders = {path.name: path for path in (PACKAGE / "artifacts").iterdir() if (path / "__init__.py").exists()}
    assert {name.replace("_", "-") for name in folders} == KIND_NAMES == {kind.name for kind in KINDS}
    for folder in folders.values():
        assert {"section.py", "details.py", "kind.py"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("module", [*MODULES, *SITE_MODULES], ids=str)
def test_only_a_kind_asks_the_details_of_its_artifacts_by_key(module: Path) -> None:
    asked = {
        ast.unparse(node)
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith(".details")
    }
    assert asked <= {"self.details[key]"}  # what the type of bundle.json checks itself


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_modules_stay_readable(module: Path) -> None:
    tree = ast.parse(module.read_text())
    assert len(module.read_text().splitlines()) <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 50, f"{node.name} is too long"
