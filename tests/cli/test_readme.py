"""The README tells the truth: its commands are parsed, its paths exist, its configs and layouts are known."""

import re
import shlex
from pathlib import Path

import pytest

from sugar.cli.derive import Command, find
from sugar.cli.main import COMMANDS
from sugar.config import parse_config, read_config
from sugar.training.config import RunConfig

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands() -> list[str]:
    found = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            found += [line.strip() for line in lines if line.strip().startswith("sugar ")]
    return sorted(set(found))


@pytest.mark.parametrize("command", commands())
def test_a_documented_command_is_parsed(command: str) -> None:
    words = shlex.split(command.replace("$seed", "0"), comments=True)[1:]
    command_found, name, rest = find(COMMANDS, words)
    assert isinstance(command_found, Command)
    given = command_found.parser(name).parse_args(rest)
    if words[0] == "train":
        written = any(f"`{given.config}`\n\n```yaml" in page.read_text(encoding="utf-8") for page in PAGES)
        assert written or (ROOT / given.config).is_file()


def test_a_config_for_other_data_leaves_out_no_clips_of_its_own() -> None:
    trainings = [shlex.split(command)[1:] for command in commands() if command.startswith("sugar train configs/")]
    others = [words for words in trainings if any(word.startswith("stores/mine") for word in words)]
    assert others
    for words in others:
        values, flags = read_config(ROOT / words[1]), words[2 : words.index("--out")]
        config, _ = parse_config(RunConfig, values, where=words[1], arguments=flags)
        assert not config.data.exclude


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        leads_to = page.parent / target if target else page
        assert leads_to.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", leads_to.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, (
                f"{target}#{anchor}"
            )


def test_the_map_names_files_that_exist() -> None:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[0].read_text(), flags=re.DOTALL | re.MULTILINE)
    block = next(text for language, text in blocks if not language and "src/sugar/" in text)
    names = re.findall(r"[a-z0-9_]+\.(?:py|yaml)|[a-z_]+/", block)
    assert len(names) > 20
    known = {path.name for path in ROOT.glob("*/**/*") if ".venv" not in path.parts} | {
        path.name for path in ROOT.iterdir()
    }
    missing = [name for name in names if name.rstrip("/").split("/")[-1] not in known]
    assert missing == []
