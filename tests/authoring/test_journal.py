"""The journal of a job, and what is taken for an answer."""

import json

import pytest
from test_client import Motion, good

from sugar.authoring.client.answers import WrongShape, read_answer
from sugar.authoring.client.journal import Entry, Journal
from sugar.errors import InputError


def entry(key: str, answer: dict[str, str] | None = None, failure: str = "", item: str = "i") -> Entry:
    return Entry(key, item, answer, failure, "t", ("a.mp4 at 1.20 s",), {"name": "m"}, 1, 2, 1, "2026-01-01T00:00:00")


# --- journal -----------------------------------------------------------------------------------------------------


def test_an_entry_is_found_at_once_and_after_reopening(tmp_path):
    journal = Journal(tmp_path / "journal")
    assert list((tmp_path).iterdir()) == []  # reading makes nothing
    answered, failed = entry("a", {"x": "süß \u2028 \n"}), entry("b", failure="declined")
    journal.add(answered)
    journal.add(failed)
    for read in (journal, Journal(tmp_path / "journal")):
        assert (read.find("a"), read.find("b"), read.find("c")) == (answered, failed, None)
        assert list(read.entries()) == [answered, failed]
        assert len(read) == 2
    (file,) = (tmp_path / "journal").iterdir()
    assert file.read_text(encoding="utf-8").count("\n") == 2
    assert "süß" in file.read_text(encoding="utf-8")


def test_a_torn_line_is_ignored_and_never_glued_to(tmp_path):
    Journal(tmp_path).add(entry("a", {"x": "1"}))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for length in range(1, len(whole)):
        file.write_bytes(whole + whole.replace(b'"a"', b'"b"')[:length])
        journal = Journal(tmp_path)
        assert journal.find("a") is not None
        assert journal.ignored == 0
    journal.add(entry("c", {"x": "1"}))
    again = Journal(tmp_path)
    assert [again.find(key) is not None for key in "abc"] == [True, length == len(whole) - 1, True]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "spoilt",
    [
        b"\0\0\0\n",
        b"\xff\xfe\n",
        b"{}\n",
        b"[]\n",
        b"[" * 100_000 + b"\n",
        b'{"key": "k", "item": "i", "answer": {"x": 1}, "failure": ""}\n',
        json.dumps(vars(entry("k", None, "")), default=list).encode() + b"\n",
        json.dumps(vars(entry("k", {"x": "1"}, "also failed")), default=list).encode() + b"\n",
    ],
)
def test_a_spoilt_line_is_counted_and_the_others_stay(tmp_path, spoilt):
    Journal(tmp_path).add(entry("a", {"x": "1"}))
    (file,) = tmp_path.iterdir()
    file.write_bytes(spoilt + file.read_bytes())
    journal = Journal(tmp_path)
    assert (journal.ignored, len(journal)) == (1, 1)
    assert journal.find("a") is not None
    assert [found.key for found in journal.entries()] == ["a"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_answer_counts_before_a_failure_of_any_process(tmp_path, order):
    lines = [entry("a", {"x": "1"}), entry("a", failure="no")]
    for number in order:
        Journal(tmp_path).add(lines[number])
    assert len(list(tmp_path.iterdir())) == 2
    assert Journal(tmp_path).find("a") == lines[0]
    assert list(Journal(tmp_path).entries()) == [lines[0]]


def test_what_another_process_appends_is_seen_on_request(tmp_path):
    one, other = Journal(tmp_path), Journal(tmp_path)
    for number in range(3):
        other.add(entry(f"o{number}", {"x": "1"}))
        one.add(entry(f"i{number}", {"x": "1"}))
        assert one.find(f"o{number}") is None
        one.refresh()
        assert one.find(f"o{number}") is not None
        assert one.find(f"i{number}") is not None
    assert len(one) == len(list(one.entries())) == 6
    line = json.dumps(vars(entry("half", {"x": "1"})), default=list)
    with (tmp_path / "third.jsonl").open("w") as file:  # one that is being written
        file.write(line[:50])
        file.flush()
        one.refresh()
        file.write(line[50:] + "\n")
    one.refresh()
    assert one.find("half") is not None
    assert one.ignored == 0


def test_half_a_surrogate_pair_can_be_written(tmp_path):
    Journal(tmp_path).add(entry("a", failure="the reply: \ud83d"))
    assert Journal(tmp_path).find("a").failure == "the reply: ?"


def test_a_journal_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Journal(tmp_path / "file").add(entry("a", {"x": "1"}))


# --- answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        good("sit"),
        f"```json\n{good('sit')}\n```",
        f"Here it is: {good('sit')} I hope {{that}} helps.",
        f'<think>The shape is {{"name": "...", "parts": []}}, so</think>{good("sit")}',
    ],
)
def test_words_around_an_answer_do_not_matter(text):
    assert read_answer(text, Motion) == {"name": "sit", "parts": ["arm lifts", "leg rests"]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("I cannot do that.", "no complete JSON object"),
        (good("sit")[:-3], "no complete JSON object"),
        ('{"name": 3}', "name: Input should be a valid string; parts: Field required"),
        ('I say {"name": "sit"}', "parts: Field required"),
        ("{" * 200_000, "no complete JSON object"),
    ],
)
def test_what_is_wrong_with_a_reply_is_told(text, problem):
    with pytest.raises(WrongShape) as error:
        read_answer(text, Motion)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)
