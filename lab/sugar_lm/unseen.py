"""Which names no task may hold: the classes of the data sets that are evaluated zero-shot.

A blocked name of one word blocks the names equal to it ("throw": "throwing", "the throw"); one of several words
also blocks the names it stands in ("drink water": "drinking water from a bowl").
"""

import re
from collections.abc import Iterable
from pathlib import Path

NAMES_FILE = Path(__file__).with_name("unseen_names.txt")

_IGNORED = frozenset(
    (
        *("a", "an", "the", "of", "some", "something", "somebody", "someone", "one", "one's", "oneself"),
        *("his", "her", "its", "their", "your", "my", "other", "person"),
    )
)
_IRREGULAR = {
    "threw": "throw", "thrown": "throw", "drank": "drink", "drunk": "drink", "ate": "eat", "eaten": "eat",
    "sat": "sit", "stood": "stand", "wrote": "write", "written": "write", "tore": "tear", "torn": "tear",
    "took": "take", "taken": "take", "wore": "wear", "worn": "wear", "fell": "fall", "fallen": "fall",
    "shook": "shake", "shaken": "shake", "blew": "blow", "blown": "blow", "shot": "shoot", "caught": "catch",
    "drew": "draw", "drawn": "draw", "gave": "give", "given": "give", "made": "make", "swung": "swing",
    "bent": "bend", "knelt": "kneel", "bit": "bite", "held": "hold", "men": "man", "women": "woman",
    "feet": "foot", "teeth": "tooth", "knives": "knife", "wove": "wave", "jogging": "jog", "photograph": "photo",
}  # fmt: skip


def normalize(name: str) -> tuple[str, ...]:
    """The words of ``name`` as crude stems: lower case, no articles, no endings (-s, -ed, -ing, doubled letters)."""
    words = re.findall(r"[a-z0-9']+", name.lower())
    return tuple(stem(word) for word in words if word not in _IGNORED)


def stem(word: str) -> str:
    """A crude stem, the same for the inflected forms of a word (and at times of others: it errs to blocking)."""
    word = _IRREGULAR.get(word.removesuffix("'s"), word.removesuffix("'s"))
    for ending in ("ing", "ies", "ied", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word.removesuffix(ending) + ("y" if ending in ("ies", "ied") else "")
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


class Unseen:
    """The blocked names, normalized."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {stems for stems in map(normalize, names) if stems}
        # By the first word, so that a look-up does not read them all.
        self._longer: dict[str, list[tuple[str, ...]]] = {}
        for stems in self._names:
            if len(stems) > 1:
                self._longer.setdefault(stems[0], []).append(stems)

    @classmethod
    def load(cls, path: Path = NAMES_FILE) -> "Unseen":
        """The names of the file: one a line, lines that start with # are remarks."""
        lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        return cls(line for line in lines if line and not line.startswith("#"))

    def __contains__(self, name: str) -> bool:
        stems = normalize(name)
        return stems in self._names or any(
            stems[start : start + len(blocked)] == blocked
            for start, word in enumerate(stems)
            for blocked in self._longer.get(word, ())
        )
