"""The claims that tell actions apart, and how much of each a class states in its motion sentences."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from sugar.facts.claims import Claim, Subject
from sugar.facts.grammar import all_claims, parse

FOLLOWS = 0.25
"""What follows from a claim ("rises" of "goes up") counts so much as a claim."""
NEIGHBOR = 0.5
"""The next level, count or speed counts so much as the one that is said."""
HANDS: tuple[Subject, ...] = ("left hand", "right hand")
LIMBS = {"left hand": 0, "right hand": 1, "left foot": 0, "right foot": 1}
_COMMONEST, _MOST_RARE = 0.03, 4.0
_ORDERED = frozenset({"rises to", "lowers to", "repeats", "speed"})


@dataclass(frozen=True, eq=False)
class ClaimSpace:
    """The claims that count, C of G groups of at most M values: "both hands" is said of either, so it is left out.

    Args:
        claims: C claims.
        columns: their indices in `grammar.all_claims`.
        members: ``[G, M]`` indices into ``claims``, -1 beyond a group's end.
        kinds: ``[G]`` the kind of each group.
        num_kinds: how many kinds there are.
    """

    claims: tuple[Claim, ...]
    columns: tuple[int, ...]
    members: Tensor
    kinds: Tensor
    num_kinds: int


@lru_cache(maxsize=1)
def claim_space() -> ClaimSpace:
    """The one claim space of the grammar."""
    every = all_claims()
    columns = tuple(i for i, c in enumerate(every) if c.subject != "both hands" or c.predicate == "hands")
    claims = tuple(every[i] for i in columns)
    groups: dict[tuple[str, str, int], list[int]] = {}
    for i, claim in enumerate(claims):
        groups.setdefault((claim.subject, claim.predicate, claim.person), []).append(i)
    width = max(map(len, groups.values()))
    names = [(p, "hand" if "hand" in s else "foot" if "foot" in s else "body") for s, p, _ in groups]
    kinds = {name: k for k, name in enumerate(dict.fromkeys(names))}
    members = torch.tensor([rows + [-1] * (width - len(rows)) for rows in groups.values()])
    return ClaimSpace(claims, columns, members, torch.tensor([kinds[name] for name in names]), len(kinds))


def stated(sentences: Sequence[str]) -> Tensor:
    """``[C]`` how much a class says each claim, 0 to 1: the root of the share of its sentences that say it."""
    said = _said(sentences)
    return _with_neighbors(said.amax(dim=0) * (said > 0).float().mean(dim=0).sqrt())


def sentence_claims(sentences: Sequence[str]) -> Tensor:
    """``[N, C]`` how much each sentence says each claim, 0 to 1."""
    return torch.stack([_with_neighbors(row) for row in _said(sentences)])


def _said(sentences: Sequence[str]) -> Tensor:
    space = claim_space()
    return torch.stack([_sentence(parse(sentence), space) for sentence in sentences])


def _with_neighbors(strength: Tensor) -> Tensor:
    """Next to what is said of a level, a count or a speed stands what nearly holds."""
    space, near = claim_space(), strength.clone()
    for row in space.members[[space.claims[int(i)].predicate in _ORDERED for i in space.members[:, 0]]]:
        inside = row[row >= 0]
        values = strength[inside]
        padded = pad(values, (1, 1))
        near[inside] = torch.maximum(values, NEIGHBOR * torch.maximum(padded[:-2], padded[2:]))
    return near


def _sentence(claims: Sequence[Claim], space: ClaimSpace) -> Tensor:
    known = {claim: i for i, claim in enumerate(space.claims)}
    said: dict[Claim, float] = {}
    for claim in claims:
        both = claim.subject == "both hands" and claim.predicate != "hands"
        for subject in HANDS if both else (claim.subject,):
            said[Claim(subject, claim.predicate, claim.value, claim.person)] = 1.0
    for claim in tuple(said):
        for other in _follows(claim):
            said.setdefault(other, FOLLOWS)
    row = torch.zeros(len(space.claims))
    for claim, strength in said.items():
        row[known[claim]] = strength
    return row


def _follows(claim: Claim) -> list[Claim]:
    """What is true wherever a claim is."""
    subject, person = claim.subject, claim.person
    match claim.predicate:
        case "hands":
            return [Claim(hand, "moves", "", person) for hand in HANDS]
        case "rises to" | "lowers to":
            way = "up" if claim.predicate == "rises to" else "down"
            return [Claim(subject, "moves", "", person), Claim(subject, "goes", way, person)]
        case "goes" | "path" | "repeats" | "speed" if subject in LIMBS:
            return [Claim(subject, "moves", "", person)]
        case "becomes" if claim.value != "lying":
            return [Claim("knees", "bends", "", person)]
    return []


class ClaimEncoder:
    """Sentences of the vocabulary as vectors of what they claim, rare claims weighing more; a `TextEncoder`.

    A sentence encoder hears that two sentences speak of hands, this one which hand, how high and how often. What is
    not of the vocabulary counts for nothing.

    Args:
        rarity: ``[C]`` weight of each claim of `claim_space`.
    """

    name = "claims"

    def __init__(self, rarity: Tensor) -> None:
        self.rarity = rarity.float().cpu()

    @classmethod
    def fit(cls, sentences: Sequence[str]) -> "ClaimEncoder":
        """Rare is what few of these sentences, those of the training clips, claim."""
        share = (sentence_claims(sentences) > 0).float().mean(dim=0)
        return cls((share + _COMMONEST).rsqrt().clamp(max=_MOST_RARE))

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.rarity.numpy().tobytes()).hexdigest()

    def encode(self, texts: Sequence[str]) -> Tensor:
        """``[N, C]`` of unit norm; zero for a text that claims nothing."""
        return normalize(sentence_claims(texts) * self.rarity, dim=1)
