"""Commands from signatures: positionals, flags, switches, lists, configs; and how fast help and errors come."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from jsonargparse import ArgumentError

from sugar.cli.derive import Command, find
from sugar.cli.main import COMMANDS
from sugar.errors import InputError


def example(
    first: Path,
    *rest: str,
    out: Path,
    count: int = 3,
    names: Sequence[str] = (),
    switch: bool = False,
    class_: str | None = None,
) -> None:
    """Do an example.

    Args:
        first: the first thing
        out: where to write
    """


def test_a_signature_is_a_command_line() -> None:
    command = Command(example)
    words = ["a", "b", "c", "--out", "o", "--names", "x", "y", "--switch", "--class", "k"]
    positional, named = command.arguments("sugar example", words)
    assert positional == [Path("a"), "b", "c"]
    assert named == {"out": Path("o"), "count": 3, "names": ["x", "y"], "switch": True, "class_": "k"}
    assert command.help == "Do an example."
    assert "where to write" in command.parser("sugar example").format_help()
    for wrong in (["a", "b"], ["--out", "o"], ["a", "b", "--out", "o", "--count", "many"], ["a", "b", "--nope"]):
        with pytest.raises(ArgumentError):
            command.arguments("sugar example", wrong)


def leaves(commands: object, name: str = "sugar") -> list[tuple[str, Command]]:
    found = []
    for word in commands:  # type: ignore[attr-defined]
        member, full, _ = find(commands, [word], name)  # type: ignore[arg-type]
        found += [(full, member)] if isinstance(member, Command) else leaves(member, full)
    return found


@pytest.mark.parametrize(
    ("name", "command"), leaves(COMMANDS), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_says_what_it_and_its_arguments_do(name: str, command: Command) -> None:
    assert command.help.endswith((".", ":", "?"))
    parser = command.parser(name)
    assert [action.dest for action in parser._actions if action.dest != "help" and not action.help] == []


def test_an_unknown_command_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown command 'data inform'; give one of import, combine"):
        find(COMMANDS, ["data", "inform"])


@pytest.mark.parametrize(
    "words", [["--help"], ["predict", "--help"], ["lab", "--help"], ["demo", "--wrong"], ["train", "missing.yaml"]]
)
def test_help_and_wrong_flags_load_no_torch(words: list[str]) -> None:
    code = (
        "import sys; from sugar.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'transformers', 'accelerate', 'peft'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
