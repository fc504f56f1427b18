"""What tells two classes of a pack apart: words, body parts, and what their motion sentences claim."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sugar.facts.grammar import of_two, parse, say
from sugar.knowledge.cache import EmbeddingCache
from sugar.knowledge.embed import TextEncoder, embed_texts
from sugar.knowledge.pack import BODY_PARTS, ClassKnowledge, KnowledgePack
from sugar.knowledge.quality.checks import PART_OF, STOP_WORDS, split_words

WORDS_SHOWN = 8
"""Telling words listed for each class of a pair."""

# A phrase whose words are all of these says that its part rests: "foot keeps its place", "leg stands straight".
_REST_WORDS = (
    "is are stays stay keeps keep kept rests rest remains remain stands stand holds hold waits wait idles idle lies "
    "still quiet calm steady motionless unmoved immobile fixed planted flat straight upright firm settled set put "
    "relaxed loose slack down stable passive level grounded inactive easy ease even silent nothing no "
    "at in on to its their where it they own place position the a floor ground and or while throughout both all of "
    "each person people as before also"
)
_REST = frozenset(_REST_WORDS.split())
_DENIALS = (
    *("does not", "do not", "does nothing", "do nothing", "takes no", "take no", "has no", "have no"),
    *("hardly", "barely"),
)


@dataclass(frozen=True)
class Word:
    """A word and in how many of the class's texts it stands."""

    word: str
    texts: int


@dataclass(frozen=True)
class PartContrast:
    """What the two classes say of a body part, and the cosine of the means of these phrases."""

    part: str
    cosine: float
    first: tuple[str, ...]
    second: tuple[str, ...]


@dataclass(frozen=True)
class ClassPair:
    """Two classes that lie close, and what tells them apart.

    ``cosine`` is that of their means over all texts; ``mixed_up`` counts the held-out visual texts and descriptions
    of either that lie nearest to the other. Words are those that only one of the two uses, the most telling first;
    parts come with the most different first; claims are what the motion sentences of only one say.
    """

    first: str
    second: str
    cosine: float
    mixed_up: int
    words_first: tuple[Word, ...]
    words_second: tuple[Word, ...]
    parts: tuple[PartContrast, ...]
    claims_first: tuple[str, ...]
    claims_second: tuple[str, ...]


def explain_pairs(
    pack: KnowledgePack,
    pairs: Sequence[tuple[str, str, float]],
    mistakes: Mapping[frozenset[str], int],
    encoder: TextEncoder,
    cache: EmbeddingCache | None,
) -> tuple[ClassPair, ...]:
    words = _Vocabulary(pack)
    phrases = {name: _phrases_by_part(pack[name]) for pair in pairs for name in pair[:2]}
    said = sorted({phrase for parts in phrases.values() for own in parts.values() for phrase in own})
    vectors = dict(zip(said, embed_texts(said, encoder, cache), strict=True)) if said else {}
    found = []
    for first, second, cosine in pairs:
        claims = [_said_claims(pack[name]) for name in (first, second)]
        found.append(
            ClassPair(
                first=first,
                second=second,
                cosine=cosine,
                mixed_up=mistakes.get(frozenset((first, second)), 0),
                words_first=words.of_one(first, second),
                words_second=words.of_one(second, first),
                parts=_part_contrasts(phrases[first], phrases[second], vectors),
                claims_first=tuple(claim for claim in claims[0] if claim not in claims[1]),
                claims_second=tuple(claim for claim in claims[1] if claim not in claims[0]),
            )
        )
    return tuple(found)


class _Vocabulary:
    """In how many texts of each class a word stands, in whatever form."""

    def __init__(self, pack: KnowledgePack) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.forms: dict[str, Counter[str]] = {}
        for entry in pack.classes:
            bodies = [text.partition(":")[2] or text for text in entry.motion]
            self.counts[entry.name] = Counter()
            for text in (*bodies, *entry.visual, *entry.descriptions):
                forms = {word for word in split_words(text) if word not in STOP_WORDS and word not in PART_OF}
                self.counts[entry.name].update({stem(word) for word in forms})
                for word in forms:
                    self.forms.setdefault(stem(word), Counter())[word] += 1
        self.classes = Counter(root for own in self.counts.values() for root in own)

    def of_one(self, name: str, other: str) -> tuple[Word, ...]:
        """Words of ``name`` that ``other`` lacks: those of many own texts and of few other classes first."""
        own = self.counts[name]

        def weight(root: str) -> float:
            return own[root] * math.log((1 + len(self.counts)) / self.classes[root])

        roots = [root for root in own if root not in self.counts[other]]
        # What a single text says is chance rather than the class.
        roots.sort(key=lambda root: (own[root] == 1, -weight(root), root))
        return tuple(Word(self.forms[root].most_common(1)[0][0], own[root]) for root in roots[:WORDS_SHOWN])


def _part_contrasts(
    first: Mapping[str, tuple[str, ...]], second: Mapping[str, tuple[str, ...]], vectors: Mapping[str, Tensor]
) -> tuple[PartContrast, ...]:
    contrasts = []
    for part in BODY_PARTS:
        if first[part] and second[part]:
            means = [
                normalize(torch.stack([vectors[phrase] for phrase in own[part]]).sum(0), dim=0)
                for own in (first, second)
            ]
            contrasts.append(PartContrast(part, round(float(means[0] @ means[1]), 4), first[part], second[part]))
    return tuple(sorted(contrasts, key=lambda contrast: contrast.cosine))


def _said_claims(entry: ClassKnowledge) -> tuple[str, ...]:
    """What its motion sentences claim, a sentence a claim; what either hand does is said once."""
    claims = sorted({claim for text in entry.motion_sentences for claim in parse(text)})
    two = of_two(claims)
    said = [sentence for claim in claims for sentence in say([claim], two_people=two)]
    merged = []
    for sentence in said:
        right = sentence.replace("left", "right", 1)
        left = sentence.replace("right", "left", 1)
        if right != left and right in said and left in said:
            sentence = right.replace("right", "right or left", 1)
        merged.append(sentence)
    return tuple(dict.fromkeys(merged))


_IRREGULAR = {
    form: verb
    for verb, forms in {
        **{"drink": "drank drunk", "eat": "ate eaten", "throw": "threw thrown", "sit": "sat", "stand": "stood"},
        **{"write": "wrote written", "tear": "tore torn", "take": "took taken", "make": "made", "fall": "fell fallen"},
        **{"give": "gave given", "shake": "shook shaken", "blow": "blew blown", "shoot": "shot", "run": "ran"},
        **{"swing": "swung", "catch": "caught", "draw": "drew drawn", "wear": "wore worn", "foot": "feet"},
    }.items()
    for form in forms.split()
}


def stem(word: str) -> str:
    """The root by which the forms of an English word are known: wave, waves, waving."""
    word = _IRREGULAR.get(word.lower(), word.lower())
    for ending in ("ing", "ied", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) >= len(ending) + 3:
            word = word.removesuffix(ending)
            break
    if word[-1] in "ey" and len(word) > 3:
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


def part_phrases(text: str) -> dict[str, str]:
    """What a motion text says of each body part: the phrase with its opening; parts not named are left out."""
    phrases: dict[str, str] = {}
    for piece in text.partition(":")[2].strip().removesuffix(".").split(";"):
        part = PART_OF.get(piece.strip().partition(" ")[0].strip(",").casefold())
        if part is not None:
            phrases[part] = piece.strip()
    return phrases


def keeps_still(phrase: str) -> bool:
    """Whether a phrase says of its part no more than that it rests: "foot keeps its place", "hip takes no part"."""
    words = split_words(phrase)
    said = " ".join(words[1:])
    return (said.startswith(_DENIALS) and " but " not in said) or all(
        word in _REST or word in PART_OF for word in words
    )


def _phrases_by_part(entry: ClassKnowledge) -> dict[str, tuple[str, ...]]:
    said = [part_phrases(text) for text in entry.motion]
    return {part: tuple(phrases[part] for phrases in said if part in phrases) for part in BODY_PARTS}
