"""Is a knowledge pack fit for use? Its form, its completeness, and whether its classes can be told apart."""

import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sugar.facts.claims import Claim
from sugar.facts.grammar import parse, read
from sugar.knowledge.cache import EmbeddingCache
from sugar.knowledge.embed import TextEncoder, embed_texts
from sugar.knowledge.pack import BODY_PARTS, ClassKnowledge, KnowledgePack

COUNTS = {"motion": 3, "visual": 6, "descriptions": 4}
MOTION_SENTENCES = (2, 3)
"""Least and most a class, where it has any."""

# Above these two texts say the same thing; the closest sound pairs of the shipped packs lie well below.
NEAR_COSINE = 0.93
NEAR_OVERLAP = 0.6
# A text this many times longer or shorter than the median of its field is an outlier.
LENGTH_FACTOR = 2.0
# CLIP reads 77 tokens, start and end among them, and cuts the rest: the legs and feet of a motion text.
MAX_TOKENS = 75

PART_OF = {part: part for part in BODY_PARTS} | {f"{part}s": part for part in BODY_PARTS} | {"feet": "foot"}
"""Body part of the word that a phrase opens with."""
_COMMON = (
    "a an the and or of to in on at by for from with into onto out up as is are be it its that this their his her then "
    "while who which person someone"
)
STOP_WORDS = frozenset(_COMMON.split())
"""Words by which no two texts are alike."""


Severity = Literal["error", "advice"]


@dataclass(frozen=True)
class Finding:
    """One problem: the class (empty: the whole pack), the field as ``motion[2]``, and what is wrong.

    An *error* breaks the form or gives a class away to another and must be fixed. *Advice* is a matter of judgement:
    a pack with no worse is fit for use.
    """

    class_: str
    field: str
    problem: str
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.class_ or 'pack'}: {self.field}: {self.problem}"


@dataclass(frozen=True)
class _Text:
    class_: str
    field: str
    number: int
    text: str

    @property
    def place(self) -> str:
        return f"{self.field}[{self.number}]"

    @property
    def content(self) -> str:
        """The text less a motion text's opening, which would make unlike texts alike and copies unlike."""
        return self.text.partition(":")[2].strip() or self.text if self.field == "motion" else self.text


def check_pack(
    pack: KnowledgePack,
    encoder: TextEncoder | None = None,
    *,
    expected: Sequence[str] | None = None,
    cache: EmbeddingCache | None = None,
) -> list[Finding]:
    """Every problem of ``pack``, in the order of its classes; without errors it is fit for use.

    Args:
        encoder: finds near-duplicates between classes by cosine; without one shared words are counted.
        expected: the class names that the pack must have, no more and no fewer.
        cache: where the encoder's vectors are kept.
    """
    findings = [*_check_names(pack, expected)]
    for entry in pack.classes:
        findings += _check_counts(entry)
        for number, text in enumerate(entry.motion, start=1):
            problems = motion_problems(text, entry.name)
            findings += [Finding(entry.name, f"motion[{number}]", problem) for problem in problems]
        findings += _check_descriptions(entry)
        findings += _check_motion_sentences(entry)
    findings += _check_same_motion(pack)
    texts = _all_texts(pack)
    findings += _check_foreign_names(pack, texts)
    findings += _check_lengths(texts)
    findings += _check_duplicates(texts)
    findings += _check_near_duplicates(texts, encoder, cache)
    order = {name: index for index, name in enumerate(("", *pack.names))}
    return sorted(findings, key=lambda finding: order.get(finding.class_, len(order)))


def motion_problems(text: str, name: str) -> list[str]:
    """What a motion text lacks of ``An action of NAME: head ...; hand ...; arm ...; (hip, leg, foot)``.

    A part may open with its plural (hands, feet); ``NAME`` may stand in braces as in the paper.
    """
    opening, colon, body = text.partition(":")
    if not colon or opening.strip() not in (f"An action of {name}", f"An action of {{{name}}}"):
        return [f"must open with 'An action of {name}:'"]
    problems = []
    parts: list[str] = []
    for piece in body.strip().removesuffix(".").split(";"):
        first, _, rest = piece.strip().partition(" ")
        part = PART_OF.get(first.strip(",").casefold())
        if part is None:
            problems.append(f"{piece.strip()[:30]!r} opens with no body part; the six are {', '.join(BODY_PARTS)}")
            continue
        if not rest.strip(" .,"):
            problems.append(f"says nothing of the {part}")
        parts.append(part)
    problems += [f"part {part!r} is missing" for part in BODY_PARTS if part not in parts]
    problems += [f"part {part!r} stands {parts.count(part)} times" for part in BODY_PARTS if parts.count(part) > 1]
    if not problems and parts != list(BODY_PARTS):
        problems.append(f"parts stand in the order {', '.join(parts)}; it must be {', '.join(BODY_PARTS)}")
    return problems


def _check_names(pack: KnowledgePack, expected: Sequence[str] | None) -> Iterator[Finding]:
    if expected is None:
        return
    for name in expected:
        if name not in pack:
            yield Finding(name, "name", "class is missing from the pack")
    for name in pack.names:
        if name not in expected:
            yield Finding(name, "name", "class is not in the expected list")


def _check_counts(entry: ClassKnowledge) -> Iterator[Finding]:
    counts = {"motion": entry.motion, "visual": entry.visual, "descriptions": entry.descriptions}
    for field, texts in counts.items():
        if len(texts) != COUNTS[field]:
            problem = f"has {len(texts)} texts; {COUNTS[field]} are wanted"
            yield Finding(entry.name, field, problem, "advice" if texts else "error")


def _check_descriptions(entry: ClassKnowledge) -> Iterator[Finding]:
    for number, text in enumerate(entry.descriptions, start=1):
        named = {PART_OF[word] for word in split_words(text) if word in PART_OF}
        if len(named) > 3:
            problem = "lists body parts; a natural sentence is wanted"
            yield Finding(entry.name, f"descriptions[{number}]", problem, "advice")


def _check_motion_sentences(entry: ClassKnowledge) -> Iterator[Finding]:
    count = len(entry.motion_sentences)
    least, most = MOTION_SENTENCES
    if count and not least <= count <= most:
        yield Finding(entry.name, "motion_sentences", f"has {count} texts; {least} to {most} are wanted", "advice")
    for number, text in enumerate(entry.motion_sentences, start=1):
        for clause, claims in read(text):
            if not claims:
                problem = f"{clause!r} claims nothing in the motion vocabulary"
                yield Finding(entry.name, f"motion_sentences[{number}]", problem)


def _check_same_motion(pack: KnowledgePack) -> Iterator[Finding]:
    first: dict[frozenset[frozenset[Claim]], str] = {}
    for entry in pack.classes:
        motion = frozenset(frozenset(parse(text)) for text in entry.motion_sentences)
        earlier = first.setdefault(motion, entry.name) if motion else entry.name
        if earlier != entry.name:
            # No text is wrong then: some actions do look the same in joints.
            yield Finding(entry.name, "motion_sentences", f"all claim the same as those of {earlier}", "advice")


def _check_foreign_names(pack: KnowledgePack, texts: Sequence[_Text]) -> Iterator[Finding]:
    patterns = {name: _name_pattern(name) for name in pack.names}
    for text in texts:
        for name, pattern in patterns.items():
            # "pick up with one hand" may say "pick up" even where that is a class of its own.
            if name != text.class_ and not pattern.search(text.class_) and pattern.search(text.content):
                yield Finding(text.class_, text.place, f"names another class, {name!r}")


def _check_lengths(texts: Sequence[_Text]) -> Iterator[Finding]:
    for field in COUNTS:
        own = [text for text in texts if text.field == field]
        if not own:
            continue
        median = statistics.median(len(split_words(text.content)) for text in own)
        for text in own:
            count = len(split_words(text.content))
            if count > LENGTH_FACTOR * median or count < median / LENGTH_FACTOR:
                problem = f"has {count} words; the median of {field} is {median:g}"
                yield Finding(text.class_, text.place, problem, "advice")
    for text in texts:
        tokens = len(re.findall(r"\w+|[^\w\s]", text.text))
        if tokens > MAX_TOKENS:
            problem = f"has some {tokens} tokens; CLIP would cut it after {MAX_TOKENS}"
            yield Finding(text.class_, text.place, problem, "advice")


def _check_duplicates(texts: Sequence[_Text]) -> Iterator[Finding]:
    first: dict[tuple[str, ...], _Text] = {}
    for text in texts:
        earlier = first.setdefault(tuple(split_words(text.content)), text)
        if earlier is not text:
            severity: Severity = "advice" if earlier.class_ == text.class_ else "error"
            yield Finding(text.class_, text.place, f"repeats {earlier.class_}: {earlier.place}", severity)


def _check_near_duplicates(
    texts: Sequence[_Text], encoder: TextEncoder | None, cache: EmbeddingCache | None
) -> Iterator[Finding]:
    if not texts:
        return
    measure = "shared words" if encoder is None else "cosine"
    near = _near_by_words(texts) if encoder is None else _near_by_cosine(texts, encoder, cache)
    for at, earlier, alike in near:
        text, other = texts[at], texts[earlier]
        if other.class_ != text.class_ and split_words(other.content) != split_words(text.content):
            problem = f"nearly repeats {other.class_}: {other.place} ({measure} {alike:.2f})"
            yield Finding(text.class_, text.place, problem, "advice")


def _near_by_cosine(
    texts: Sequence[_Text], encoder: TextEncoder, cache: EmbeddingCache | None
) -> Iterator[tuple[int, int, float]]:
    vectors = embed_texts([text.content for text in texts], encoder, cache)
    cosines = vectors @ vectors.T
    for at, earlier in (cosines >= NEAR_COSINE).tril(-1).nonzero().tolist():
        yield at, earlier, float(cosines[at, earlier])


def _near_by_words(texts: Sequence[_Text]) -> Iterator[tuple[int, int, float]]:
    words = [frozenset(split_words(text.content)) - STOP_WORDS for text in texts]
    for at, own in enumerate(words):
        for earlier in range(at):
            joint = len(words[earlier] | own)
            alike = len(words[earlier] & own) / joint if joint else 0.0
            if alike >= NEAR_OVERLAP:
                yield at, earlier, alike


def _all_texts(pack: KnowledgePack) -> list[_Text]:
    # Motion sentences share a small vocabulary on purpose, and two classes may well share a sentence.
    return [
        _Text(entry.name, field, number, text)
        for entry in pack.classes
        for field, texts in (
            ("motion", entry.motion),
            ("visual", entry.visual),
            ("descriptions", entry.descriptions),
        )
        for number, text in enumerate(texts, start=1)
    ]


def split_words(text: str) -> list[str]:
    """The words of a text in small letters."""
    return re.findall(r"\w+", text.casefold())


def _name_pattern(name: str) -> re.Pattern[str]:
    """The class name with its verb in any regular form: throw, throws, throwing; sit down, sitting down."""
    verb, *others = (re.escape(word) for word in name.casefold().split())
    stem = verb[:-1] if len(verb) > 2 and verb[-1] in "ey" else verb
    forms = rf"{stem}(?:{verb[-1]}?(?:s|es|ed|n|ing)?|ies|ied)"
    return re.compile(r"\b" + r"\s+".join([forms, *others]) + r"\b", re.IGNORECASE)
