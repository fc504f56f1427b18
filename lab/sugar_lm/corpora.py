"""Readers of the three outside corpora and of the packs' sentences."""

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from sugar.knowledge.pack import load_pack, shipped_packs

_NAME = re.compile(r"[a-z]+(?:[ '-][a-z]+){0,3}")
_POSSIBLE_LEXICONS = ("verb", "noun", "adj", "adv")
# Curly quotes; underscores that stand for italics.
_PLAIN = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2019": "'", "_": ""})


@dataclass(frozen=True)
class Synset:
    """One sense: its words, gloss and examples. ``lexicon`` is the file's name, such as ``verb.motion``."""

    key: str
    lexicon: str
    members: tuple[str, ...]
    gloss: str
    examples: tuple[str, ...]
    parents: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The members that read like an action's name: at most four lower-case words."""
        return tuple(member for member in self.members if _NAME.fullmatch(member))


def read_wordnet(folder: Path) -> list[Synset]:
    """All synsets of Open English WordNet's YAML sources, in the order of files and entries."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    synsets = []
    for path in sorted((folder / "src" / "yaml").glob("*.yaml")):
        if not path.name.startswith(_POSSIBLE_LEXICONS):
            continue
        entries = yaml.load(path.read_text(encoding="utf-8"), loader)
        for key, entry in entries.items():
            examples = [e if isinstance(e, str) else e.get("text", "") for e in entry.get("example", ())]
            synsets.append(
                Synset(
                    key,
                    path.stem,
                    tuple(entry["members"]),
                    " ".join(str(entry["definition"][0]).split()),
                    tuple(" ".join(example.split()).strip('"') for example in examples if example),
                    tuple(entry.get("hypernym", ())),
                )
            )
    return synsets


def read_captions(folder: Path, split: str) -> dict[str, list[str]]:
    """The captions of each video of MSVD's own ``train``, ``val`` or ``test`` split: lower case, no full stop."""
    videos: dict[str, list[str]] = {}
    path = folder / "text_files" / f"sents_{split}_lc_nopunc.txt"
    for line in path.read_text(encoding="utf-8").splitlines():
        video, _, caption = line.partition("\t")
        caption = " ".join(caption.split())
        if len(caption.split()) >= 3:
            videos.setdefault(video, []).append(caption)
    return videos


def read_novels(folder: Path, size: int, rng: random.Random) -> list[str]:
    """Paragraphs of 60 to 900 characters drawn evenly from all novels, of about ``size`` bytes together."""
    paragraphs = []
    files = sorted((folder / "corpus").glob("*.txt"))
    for path in files:
        text = path.read_text(encoding="utf-8-sig", errors="replace").replace("\r", "")
        own = [" ".join(block.split()) for block in re.split(r"\n\s*\n", text)]
        own = [block for block in own if 60 <= len(block) <= 900]
        rng.shuffle(own)
        room = size / len(files)
        for block in own:
            if room < 0:
                break
            paragraphs.append(block.translate(_PLAIN))
            room -= len(block)
    rng.shuffle(paragraphs)
    return paragraphs


@dataclass(frozen=True)
class PackSentence:
    """One text of a shipped pack."""

    pack: str
    action: str
    kind: str
    text: str
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", hashlib.sha256(self.text.encode()).hexdigest())


def pack_sentences(names: Sequence[str] | None = None) -> list[PackSentence]:
    """Every text of the named packs (all that ship, without names)."""
    return [
        PackSentence(name, entry.name, kind, text)
        for name in (shipped_packs() if names is None else names)
        for entry in load_pack(name).classes
        for kind in ("motion", "visual", "descriptions", "motion_sentences")
        for text in getattr(entry, kind)
    ]
