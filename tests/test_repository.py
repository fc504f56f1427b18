"""What a stranger finds in the repository: guides whose paths exist, a workflow that tests what is promised."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_floors import ORDER

import sugar

ROOT = Path(__file__).parents[1]
GUIDES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_paths_in_guides_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    full = r"(?<![\w/.])((?:src/sugar|tests|docs|lab|configs)/[\w./-]*[\w/])"
    named = {ROOT / path for path in re.findall(full, text)}
    named |= {page.parent / path for path in re.findall(r"\]\(([^)#]+)\)", text) if not path.startswith("http")}
    assert [str(path) for path in sorted(named) if "NAME" not in path.name and not path.exists()] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_design_lists_the_rooms_from_the_top_down() -> None:
    section = (ROOT / "docs/design.md").read_text(encoding="utf-8").split("## 4. Rooms")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)/` ", section, flags=re.MULTILINE)
    rooms = [room for floor in ORDER for room in floor if (ROOT / "src/sugar" / room).is_dir()]
    assert listed == rooms[::-1]


def test_the_version_stands_in_one_place() -> None:
    assert "version" not in PROJECT["project"]
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "src/sugar/__init__.py"
    others = [name for name in ("README.md", "CITATION.cff") if sugar.__version__ in (ROOT / name).read_text()]
    assert others == []


def test_the_workflow_tests_every_system_and_python() -> None:
    job = read(ROOT / ".github/workflows/test.yml")["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["project"]["requires-python"] == f">={matrix['python'][0]}"
    install = next(step["run"] for step in job["steps"] if step.get("name") == "Install")
    extras = re.findall(r"-e \"(\.\[.*?\])\"", (ROOT / "Makefile").read_text())
    assert f'"{extras[0]}"' in install


def test_citation_and_templates_are_whole() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["preferred-citation"]["title"].startswith("SUGAR")
    forms = [path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(forms) >= 3
    for form in map(read, forms):
        assert {"name", "description", "body"} <= form.keys()
        ids = [field["id"] for field in form["body"]]
        assert len(set(ids)) == len(ids)
        assert any(field.get("validations", {}).get("required") for field in form["body"])
