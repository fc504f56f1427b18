"""What a user gives by mistake: candidates, questions in Python, outputs that cannot be or must not be written."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cli import refused

from sugar import SkeletonClip
from sugar.cli import main as cli
from sugar.cli.main import main
from sugar.errors import InputError
from sugar.inference.predict import parse_candidates
from sugar.inference.recognizer import checked_names
from sugar.inference.sources import read_clips
from sugar.skeleton.layouts import KINECT20


@pytest.mark.parametrize("content", [b"sit\nstand up\n", b"\xef\xbb\xbfsit\r\n\r\nstand up"])
def test_candidates_come_from_a_file_or_a_list(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "names").write_bytes(content)
    for given in (str(tmp_path / "names"), "sit, stand up", "sit,stand up,"):
        assert parse_candidates(given) == ["sit", "stand up"]
    assert parse_candidates("eat meal/snack,a.txt") == ["eat meal/snack", "a.txt"]
    assert parse_candidates("eat " * 2000 + "\0") == [("eat " * 2000 + "\0")]


@pytest.mark.parametrize("given", ["gone/names", "gone.txt", "GONE.CSV", ".", "/"])
def test_candidates_of_a_file_that_is_not_there(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        capsys, ["predict", "--model", "run", "clip.json", "--candidates", given], f"--candidates {given}: no such file"
    )


def test_candidates_that_are_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "utf16"
    path.write_text("sit\nstand", encoding="utf-16")
    refused(capsys, ["predict", "--model", "run", "clip.json", "--candidates", str(path)], str(path), "UTF-8")


CLIP = SkeletonClip(np.random.default_rng(0).normal(size=(4, 1, 20, 3)), KINECT20)


@pytest.mark.parametrize("candidates", [("a", "b"), {"a": 1, "b": 2}, np.array(["a", "b"]), iter("ab")])
def test_names_come_in_any_collection(candidates: Any) -> None:
    assert checked_names(candidates, None) == ("a", "b")
    assert checked_names(None, None) is None


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (("throw", None), "candidates: give a list of names, not 'throw'"),
        (([1], None), r"names, not \[1\]"),
        (([None], None), r"names, not \[None\]"),
        ((7, None), "names, not 7"),
        ((["a"], "nw_ucla"), "pack: .*load_pack.*not 'nw_ucla'"),
    ],
)
def test_what_is_no_question_is_said(question: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        checked_names(*question)


def test_a_closed_standard_input() -> None:
    with pytest.raises(InputError, match="standard input: it is closed"):
        list(read_clips("-", None))


@pytest.mark.parametrize("command", [["eval", "run"], ["lab", "ablate", "table.yaml"]])
@pytest.mark.parametrize("out", ["file", "file/report"])
def test_a_folder_that_cannot_be_made_is_refused_before_any_work(
    command: list[str], out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    refused(capsys, [*command, "--out", str(tmp_path / out)], f"{tmp_path / 'file'}: is a file")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["knowledge", "show", "synthetic", "--out", "mine.yaml"], "mine.yaml: the page is written into a .html file"),
        (["demo", "--seed", "-1"], "--seed must be 0 or more"),
        (["demo", "--out", "mine.yaml"], "mine.yaml: Not a directory"),
    ],
)
def test_outputs_that_would_destroy_or_fail(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("mine")
    refused(capsys, arguments, words)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("mine.yaml", "mine")]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (PermissionError(13, "Permission denied", "a/b"), 2, "sugar: a/b: Permission denied\n"),
        (OSError(28, "No space left on device"), 2, "sugar: No space left on device\n"),
        (OSError("two\nlines"), 2, "sugar: two lines\n"),
        (KeyboardInterrupt(), 130, "sugar: interrupted\n"),
        (KeyboardInterrupt("stopped"), 130, "sugar: stopped\n"),
    ],
)
def test_how_a_command_ends(
    error: BaseException,
    code: int,
    line: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(argv: list[str]) -> None:
        raise error

    monkeypatch.setattr(cli, "_run", fail)
    assert main(["data"]) == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_under_standard_output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["knowledge", "show", "synthetic"]) == 2
    assert capsys.readouterr().err == "sugar: No space left on device\n"


def test_a_terminal_that_lacks_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {}
    for command in ("print", "print_json"):
        narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stdout", narrow)
        write = print if command == "print" else cli.print_json
        monkeypatch.setattr(cli, "_run", lambda _, write=write: write("h\xf6ren"))
        assert main([]) == 0
        narrow.seek(0)
        lines[command] = narrow.read()
    assert lines["print"] == "h\\xf6ren\n"
    assert json.loads(lines["print_json"]) == "h\xf6ren"
