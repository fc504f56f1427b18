"""The grounded motion language: claims said in one small fixed vocabulary, and read back from any text.

A sentence is a name ("The right hand"), one to three verb phrases ("rises above the head") and adverbs of count and
speed ("four times, quickly"); one table of phrases serves both `say` and `parse`, so each inverts the other.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

from sugar.facts.claims import HEIGHTS, VALUES, Claim, Predicate, Subject

_LIMB: frozenset[Predicate] = frozenset({"moves", "rises to", "lowers to", "goes", "path", "repeats", "speed"})
_BODY: frozenset[Predicate] = frozenset(
    {"still", "repeats", "speed", "posture", "becomes", "bends", "travels", "turns", "jumps"}
)
ALLOWED: dict[Subject, frozenset[Predicate]] = {
    "left hand": _LIMB | {"still"},
    "right hand": _LIMB | {"still"},
    "both hands": _LIMB | {"still", "hands"},
    "left foot": _LIMB,
    "right foot": _LIMB,
    "body": _BODY,
    "knees": frozenset({"bends"}),
    "people": frozenset({"distance", "contact"}),
}
"""What can be claimed of whom; see `is_allowed` for the values."""

_MANY = ("three", "four", "five", "six", "seven", "eight", "nine", "many")
_COUNTS = ("once", "twice", *(f"{number} times" for number in _MANY))
_PLACES = {"floor": "the floor", "above the head": "above the head"}
_PACES = {"slow": "slowly", "moderate": "", "fast": "quickly"}
_MAX_VERBS = 3  # a sentence; more are hard to read and are split

# Verb phrases of each predicate and value, the first being the canonical one, in the plural: their first word is the
# verb, which `_singular` inflects. Texts are embedded and learnt: a change here needs all of them anew.
_VERBS: dict[tuple[Predicate, str], tuple[str, ...]] = {
    ("moves", ""): ("move", "are in motion"),
    ("still", ""): ("stay still", "keep still"),
    ("goes", "up"): ("go up", "move up"),
    ("goes", "down"): ("sink down", "go down"),
    ("goes", "forward"): ("reach forward", "go forward"),
    ("goes", "back"): ("pull back", "go back"),
    ("goes", "outward"): ("go out to the side", "move out to the side"),
    ("goes", "inward"): ("go across the body", "move across the body"),
    ("path", "straight"): ("move in a straight line", "go straight"),
    ("path", "clockwise circle"): ("draw a circle clockwise", "move clockwise in a circle"),
    ("path", "counter-clockwise circle"): ("draw a circle anticlockwise", "move anticlockwise in a circle"),
    ("path", "zigzag"): ("swing to and fro", "swing back and forth"),
    ("hands", "meet"): ("meet", "touch each other"),
    ("hands", "cross"): ("cross", "cross each other"),
    ("hands", "part"): ("part", "move away from each other"),
    ("hands", "together"): ("move together", "move side by side"),
    ("becomes", "standing"): ("stand up", "come up to standing"),
    ("becomes", "sitting"): ("sit down", "go down to sitting"),
    ("becomes", "squatting"): ("squat down", "go down to squatting"),
    ("becomes", "kneeling"): ("kneel down", "go down to kneeling"),
    ("becomes", "lying"): ("lie down", "go down to lying"),
    ("bends", "forward"): ("bend forward", "lean forward", "bend the body forward"),
    ("bends", "back"): ("bend back", "lean back", "bend the body back"),
    ("bends", "left"): ("bend to the left", "lean to the left"),
    ("bends", "right"): ("bend to the right", "lean to the right"),
    ("bends", ""): ("bend the knees", "bend both knees"),
    ("travels", "forward"): ("walk forward", "move forward"),
    ("travels", "back"): ("walk back", "move back"),
    ("travels", "left"): ("walk to the left", "move to the left"),
    ("travels", "right"): ("walk to the right", "move to the right"),
    ("travels", "about"): ("walk about", "move about"),
    ("travels", "nowhere"): ("stay in place", "keep in place"),
    ("turns", "left"): ("turn left", "turn to the left"),
    ("turns", "right"): ("turn right", "turn to the right"),
    ("turns", "around"): ("turn around", "turn to the back"),
    ("jumps", ""): ("jump", "jump up"),
    ("distance", "far"): ("stay far from each other", "keep far from each other"),
    ("distance", "near"): ("stay near each other", "keep near each other"),
    ("distance", "closer"): ("come closer", "move closer to each other"),
    ("distance", "apart"): ("move apart", "move away from each other"),
    ("contact", "hands"): ("touch hands", "meet hand to hand"),
    ("contact", "embrace"): ("put the arms around each other", "meet with the arms around each other"),
    ("contact", "push"): ("meet with a hand on the body of the other", "touch hand to body"),
}
for _level in HEIGHTS:
    _place = _PLACES.get(_level, f"{_level} height")
    _to = "above the head" if _level == "above the head" else f"to {_place}"
    _VERBS["rises to", _level] = (f"rise {_to}", f"go up {_to}", f"come up {_to}")
    _VERBS["lowers to", _level] = (f"sink to {_place}", f"go down to {_place}", f"come down to {_place}")
for _posture in VALUES["posture"]:
    _VERBS["posture", _posture] = (f"stay {_posture}", f"keep {_posture}", f"are {_posture}")

# Count and speed said of a verb; the verb phrases above them are for want of one.
_ADVERBS: dict[tuple[Predicate, str], tuple[str, ...]] = {}
for _number, _count in enumerate(_COUNTS, start=1):
    _ADVERBS["repeats", str(_number)] = (_count,)
    _VERBS["repeats", str(_number)] = (f"repeat the motion {_count}",)
for _speed, _word in _PACES.items():
    _ADVERBS["speed", _speed] = tuple(filter(None, (_word, f"at a {_speed} pace")))
    _VERBS["speed", _speed] = (f"keep a {_speed} pace",)

_STATES = frozenset({("still", ""), ("travels", "nowhere"), ("distance", "far"), ("distance", "near")})
_ENDS = re.compile(r"[.;:!?]")
_TOKENS = re.compile(r"[^\s,]+|,")
_SEPARATORS = frozenset({",", "and", "while"})
_Key = TypeVar("_Key")


def is_allowed(claim: Claim) -> bool:
    """Whether `say` can state ``claim``: its predicate fits its subject, the trunk bends some way, knees just bend."""
    if claim.predicate not in ALLOWED[claim.subject] or claim.person not in (0, 1):
        return False
    if claim.predicate == "bends":
        return (claim.value == "") == (claim.subject == "knees")
    return claim.subject != "people" or claim.person == 0


def all_claims() -> tuple[Claim, ...]:
    """Everything that can be claimed of a clip, in a fixed order."""
    claims = (
        Claim(s, p, v, person) for person in (0, 1) for s in ALLOWED for p, values in VALUES.items() for v in values
    )
    return tuple(claim for claim in claims if is_allowed(claim))


def of_two(claims: Sequence[Claim]) -> bool:
    """Whether the claims are about two people."""
    return any(claim.person == 1 or claim.subject == "people" for claim in claims)


def say(
    claims: Sequence[Claim], rng: np.random.Generator | None = None, *, two_people: bool | None = None
) -> list[str]:
    """Sentences that state exactly ``claims``, subjects in their order there; ``rng`` varies the wording.

    Within a subject states come first, count and speed last. With two people (None: as `of_two` says) person 0 is
    called "the first person".

    Raises:
        ValueError: a claim is not `is_allowed`.
    """
    groups: dict[tuple[Subject, int], list[Claim]] = {}
    for claim in dict.fromkeys(claims):
        if not is_allowed(claim):
            raise ValueError(f"{claim} makes no sense: see sugar.facts.grammar.ALLOWED")
        groups.setdefault((_speaker(claim.subject), claim.person), []).append(claim)
    two = of_two(claims) if two_people is None else two_people
    sentences: list[str] = []
    for (subject, person), own in groups.items():
        owner = ("first", "second")[person] if two else ""
        parts = [f"{_pick(_names(subject, owner), rng)} {phrase}" for phrase in _verb_phrases(own, rng)]
        quiet = len(own) == 1 and own[0].predicate == "still"
        if rng is not None and quiet and sentences and " while " not in sentences[-1] and rng.random() < 0.5:
            sentences[-1] += f" while {parts.pop()}"
        sentences += parts
    return [f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences]


def parse(text: str) -> tuple[Claim, ...]:
    """The claims that ``text`` states in the vocabulary, each once, in its order; other text states none.

    A clause counts only if all its words are of the vocabulary; one without a name takes that of its sentence.
    """
    return tuple(dict.fromkeys(claim for _, claims in read(text) for claim in claims))


def read(text: str) -> Iterator[tuple[str, tuple[Claim, ...]]]:
    """The clauses of ``text`` in lower case, each with its claims: none if it is not wholly of the vocabulary."""
    for sentence in _ENDS.split(text.lower()):
        tokens = _TOKENS.findall(sentence)
        name: tuple[Subject, int] | None = None
        at = 0
        while at < len(tokens):
            if tokens[at] in _SEPARATORS:
                name = None if tokens[at] == "while" else name
                at += 1
                continue
            start = at
            length, named = _longest(_NAMES, tokens, at)
            name = named or name
            at += length
            claims: list[Claim] = []
            while name is not None and at < len(tokens) and tokens[at] not in _SEPARATORS:
                length, claim = _longest(_CLAIMS[name], tokens, at)
                if claim is None:
                    break
                claims.append(claim)
                at += length
            if at < len(tokens) and tokens[at] not in _SEPARATORS:
                claims = []
                at = next((i for i in range(at, len(tokens)) if tokens[i] in _SEPARATORS), len(tokens))
            yield " ".join(tokens[start:at]), tuple(claims)


def words() -> frozenset[str]:
    """All words of the vocabulary, in lower case."""
    phrases = [*_NAMES, *(phrase for table in _CLAIMS.values() for phrase in table), ("and", "while")]
    return frozenset(word for phrase in phrases for word in phrase)


def _pick(options: Sequence[str], rng: np.random.Generator | None) -> str:
    return options[0] if rng is None else options[int(rng.integers(len(options)))]


def _speaker(subject: Subject) -> Subject:
    """Of whom the sentence is: the person bends the knees."""
    return "body" if subject == "knees" else subject


def _names(subject: Subject, owner: str) -> tuple[str, ...]:
    if subject == "people":
        return ("the two people", "both people")
    if subject == "body":
        return (f"the {owner} person" if owner else "the person",)
    names = ("both hands", "the two hands") if subject == "both hands" else (f"the {subject}",)
    if not owner:
        return names
    of = tuple(f"{name} of the {owner} person" for name in names)
    return of if subject == "both hands" else (f"the {owner} person's {subject}", *of)


def _verb_phrases(claims: Sequence[Claim], rng: np.random.Generator | None) -> list[str]:
    """What is said of one subject, a phrase a sentence: states, events, and adverbs at the last event."""
    adverbs = [claim for claim in claims if claim.predicate in ("repeats", "speed")]
    verbs = [claim for claim in claims if claim not in adverbs]
    counted = any(claim.predicate == "repeats" for claim in adverbs)
    verbs.sort(key=lambda claim: _rank(claim, counted))
    if not verbs or _is_state(verbs[-1]):
        verbs, adverbs = verbs + adverbs, []
    count = -(-len(verbs) // _MAX_VERBS)
    bounds = [len(verbs) * part // count for part in range(count + 1)]
    phrases = []
    for first, last in pairwise(bounds):
        said = [_verb(claim, rng) for claim in verbs[first:last]]
        phrases.append(" and ".join(filter(None, (", ".join(said[:-1]), said[-1]))))
    adverbs.sort(key=lambda claim: claim.predicate)
    tails = [_pick(_ADVERBS[claim.predicate, claim.value], rng) for claim in adverbs]
    if rng is not None and tails:
        tails = [tails[i] for i in rng.permutation(len(tails))]
        if tails[-1] in _PACES.values() and rng.random() < 0.5:
            phrases[-1] = f"{tails.pop()} {phrases[-1]}"
    phrases[-1] += f" {', '.join(tails)}" if tails else ""
    return phrases


def _rank(claim: Claim, counted: bool) -> int:
    """States first, then that a limb moves at all; where a count follows, last what is done again and again."""
    if _is_state(claim):
        return 0
    if claim.predicate == "moves":
        return 1
    again = claim.predicate in ("hands", "jumps", "path") and claim.value != "straight"
    return 3 if counted and again else 2


def _is_state(claim: Claim) -> bool:
    return claim.predicate == "posture" or (claim.predicate, claim.value) in _STATES


def _verb(claim: Claim, rng: np.random.Generator | None) -> str:
    phrase = _pick(_VERBS[claim.predicate, claim.value], rng)
    return phrase if claim.subject in ("both hands", "people") else _singular(phrase)


def _singular(phrase: str) -> str:
    verb, _, rest = phrase.partition(" ")
    inflected = {"are": "is"}.get(verb, verb + ("es" if verb.endswith(("o", "ch", "ss")) else "s"))
    return f"{inflected} {rest}".strip()


def _longest(
    table: Mapping[tuple[str, ...], _Key], tokens: Sequence[str], at: int
) -> tuple[int, _Key] | tuple[int, None]:
    """The longest phrase of ``table`` that begins at ``tokens[at]``: its length and what it means."""
    for length in range(min(_LONGEST, len(tokens) - at), 0, -1):
        meaning = table.get(tuple(tokens[at : at + length]))
        if meaning is not None:
            return length, meaning
    return 0, None


def _claims_by_phrase(speaker: Subject, person: int) -> dict[tuple[str, ...], Claim]:
    """All that can be said of one name, as words."""
    table: dict[tuple[str, ...], Claim] = {}
    for subject in ALLOWED:
        for predicate, value in _VERBS:
            claim = Claim(subject, predicate, value, person)
            if _speaker(subject) != speaker or not is_allowed(claim):
                continue
            plural = subject in ("both hands", "people")
            phrases = [phrase if plural else _singular(phrase) for phrase in _VERBS[predicate, value]]
            for phrase in (*phrases, *_ADVERBS.get((predicate, value), ())):
                table[tuple(phrase.split())] = claim
    return table


_NAMES: dict[tuple[str, ...], tuple[Subject, int]] = {
    tuple(name.split()): (subject, person)
    for subject in ALLOWED
    if subject != "knees"
    for owner, person in (("", 0), ("first", 0), ("second", 1))
    for name in _names(subject, owner)
    if subject != "people" or person == 0
}
_CLAIMS = {name: _claims_by_phrase(*name) for name in set(_NAMES.values())}
_LONGEST = max(len(phrase) for phrase in (*_NAMES, *(phrase for table in _CLAIMS.values() for phrase in table)))
