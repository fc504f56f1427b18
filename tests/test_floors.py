"""No import runs upward: the floors of the house, read from the source with ast.

Imports inside functions and under ``TYPE_CHECKING`` count as well. The package's own ``__init__`` stands
outside: it may offer anything, lazily.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "sugar"

# From the ground up, as in docs/design.md: a room imports only from the rooms before it.
ORDER = (
    ("errors", "files", "hub", "config"),
    ("skeleton",),
    ("facts",),
    ("transforms",),
    ("datasets",),
    ("knowledge",),
    ("models",),
    ("evaluation",),
    ("training",),
    ("inference",),
    ("reports",),
    ("authoring",),
    ("workflows",),
    ("cli", "__main__"),
)
FLOORS = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}
# Rooms of one floor that may not use each other, unless ALLOWED has (file, imported module): reason.
APART = {frozenset({"training", "inference"})}
ALLOWED: dict[tuple[str, str], str] = {}
# The rooms below `transforms` must load in a moment, on a machine without any deep learning framework;
# `hub`, which loads models of one, imports it inside its functions.
LIGHT = FLOORS["facts"]
HEAVY = {"torch", "transformers", "accelerate", "peft"}


@dataclass(frozen=True)
class Import:
    """One imported module, dotted, and its line; ``lazy`` in functions or for type checkers only."""

    module: str
    line: int
    lazy: bool


def imports(path: Path, source: Path) -> Iterator[Import]:
    """Every import of a file; relative ones are resolved, ``from sugar import x`` gives ``sugar.x``."""
    # Package of the file: the parts of its folder.
    package = ["sugar", *path.relative_to(source).parent.parts]
    yield from _walk(ast.parse(path.read_text(encoding="utf-8")), package, lazy=False)


def _walk(node: ast.AST, package: list[str], lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) - child.level + 1] if child.level else []
            parts = [*base, *(child.module.split(".") if child.module else [])]
            if parts == ["sugar"]:
                yield from (Import(f"sugar.{alias.name}", child.lineno, lazy) for alias in child.names)
            else:
                yield Import(".".join(parts), child.lineno, lazy)
        elif isinstance(child, ast.Call) and _name(child.func) in ("import_module", "__import__"):
            # A module named by a literal cannot hide either.
            if child.args and isinstance(child.args[0], ast.Constant) and isinstance(child.args[0].value, str):
                yield Import(child.args[0].value, child.lineno, lazy)
            yield from _walk(child, package, lazy)
        else:
            inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            checking = isinstance(child, ast.If) and _name(child.test) == "TYPE_CHECKING"
            yield from _walk(child, package, lazy or inner or checking)


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def room(path: Path, source: Path) -> str:
    """Top-level folder or module of a file."""
    return path.relative_to(source).parts[0].removesuffix(".py")


def violations(source: Path) -> list[str]:
    """One line for each import that the floors forbid."""
    found = []
    for path in sorted(source.rglob("*.py")):
        place = path.relative_to(source).as_posix()
        if place == "__init__.py":
            found += [
                f"{place}:{i.line}: {i.module} is imported at once, must be lazy"
                for i in imports(path, source)
                if not i.lazy and (i.module.split(".")[0] in HEAVY or FLOORS.get(_room_of(i.module) or "", 0) > 0)
            ]
            continue
        here = room(path, source)
        if here not in FLOORS:
            found.append(f"{place}: {here} has no floor, give it one in this table and in the design")
            continue
        for i in imports(path, source):
            there = _room_of(i.module)
            if FLOORS[here] <= LIGHT and i.module.split(".")[0] in HEAVY and not (here == "hub" and i.lazy):
                found.append(f"{place}:{i.line}: {i.module} below transforms")
            if there is None or there == here:
                continue
            if there not in FLOORS:
                # The package's __init__ stands above all floors; only its version is for everyone.
                if there != "__version__":
                    found.append(f"{place}:{i.line}: {i.module} is no room of the house, import from where it lives")
            elif FLOORS[there] > FLOORS[here]:
                found.append(f"{place}:{i.line}: floor {FLOORS[here]} imports {i.module} of floor {FLOORS[there]}")
            elif {here, there} in APART and (place, i.module) not in ALLOWED:
                found.append(f"{place}:{i.line}: {here} imports {i.module}: same floor")
    return found


def _room_of(module: str) -> str | None:
    """Room of a dotted module; the bare package counts as ``sugar``, other libraries as None."""
    parts = module.split(".")
    return None if parts[0] != "sugar" else parts[1] if len(parts) > 1 else "sugar"


def test_no_import_runs_upward():
    assert (SOURCE / "errors.py").is_file()
    assert violations(SOURCE) == []


def test_no_import_circle():
    files = {
        ".".join(("sugar", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in SOURCE.rglob("*.py")
    }
    graph = {module: {i.module for i in imports(path, SOURCE)} & files.keys() for module, path in files.items()}
    TopologicalSorter(graph).prepare()  # a CycleError names the circle


def test_allowed_exceptions_are_still_needed():
    used = {
        (path.relative_to(SOURCE).as_posix(), i.module) for path in SOURCE.rglob("*.py") for i in imports(path, SOURCE)
    }
    assert set(ALLOWED) <= used


GOOD = {
    "__init__.py": "def __getattr__(name):\n    from sugar.models.sugar import Sugar\n    return Sugar\n",
    "errors.py": "",
    "hub.py": "def f():\n    import transformers\n",
    "skeleton/__init__.py": "from ..errors import InputError\nfrom .clip import SkeletonClip\n",
    "skeleton/clip.py": "import numpy\nfrom sugar import __version__\nfrom sugar.errors import InputError\n",
    "models/sugar.py": "import torch\nfrom sugar.skeleton.clip import SkeletonClip\n",
    "models/encoders/fast.py": "from ..tqp import x\nfrom ...datasets import y\n",
    "training/engine.py": "from sugar import models, evaluation\n",
    "cli.py": "import sugar.training.engine.fit\nimport sugar.workflows\n",
}


def house(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_good_house_passes(tmp_path):
    assert violations(house(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("skeleton/bad.py", "import torch\n"),
        ("skeleton/bad.py", "import numpy\nfrom torch.nn import Module\n"),
        ("files.py", "def f():\n    import transformers\n"),
        ("hub.py", "import transformers\n"),
        ("skeleton/bad.py", "from sugar.datasets.store.store import Store\n"),
        ("datasets/bad.py", "from sugar import models\n"),
        ("datasets/bad.py", "from ..models import sugar\n"),
        ("datasets/bad.py", "from .. import models\n"),
        ("models/encoders/bad.py", "from ...training.engine import fit\n"),
        ("models/bad.py", "import sugar.evaluation.metrics as metrics\n"),
        ("evaluation/bad.py", "def f():\n    from sugar.training import engine\n"),
        (
            "evaluation/bad.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sugar.cli.main import main\n",
        ),
        ("evaluation/bad.py", "import importlib\nx = importlib.import_module('sugar.inference.predict')\n"),
        ("knowledge/bad.py", "from sugar import Sugar\n"),
        ("knowledge/bad.py", "import sugar\n"),
        ("training/bad.py", "from sugar.inference.predict import predict\n"),
        ("inference/bad.py", "from ..training import engine\n"),
        ("experiments/bad.py", "try:\n    from sugar.cli.main import main\nexcept ImportError:\n    pass\n"),
        ("utils.py", ""),
        ("__init__.py", "from sugar.models.sugar import Sugar\n"),
        ("__init__.py", "import torch\n"),
    ],
)
def test_each_forbidden_import_is_found(name, text, tmp_path):
    found = violations(house(tmp_path, GOOD | {name: text}))
    assert len(found) == 1
    assert found[0].startswith(name)
