"""Which class names of two action lists mean the same action: for zero-shot across data sets.

The rule is meant to err on the safe side: a name is known if all its content words are in a known name or the other
way round, words compared by their stems. "jogging" is known to who knows "jog", "sit down" to who knows "sit to stand".
"""

import re
from collections.abc import Sequence

# Words that say how rather than what, or nothing at all.
_LIGHT = frozenset(
    re.findall(
        r"\w+",
        "a an and around at away by down for from in into of off on onto or out over something someone somebody "
        "the their to up with",
    )
)
_ENDINGS = ("ing", "es", "s", "ed")
_SHORTEST = 3


def overlapping(names: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """The names that mean an action of ``known``, each with the first that it meets there."""
    stems = [(name, content_stems(name)) for name in known]
    found: dict[str, str] = {}
    for name in names:
        own = content_stems(name)
        for other, theirs in stems:
            if own <= theirs or theirs <= own:
                found[name] = other
                break
    return found


def content_stems(name: str) -> frozenset[str]:
    """Stems of the words that carry a name's meaning; of all its words if none does."""
    words = re.findall(r"\w+", name.casefold())
    return frozenset(_stem(word) for word in [w for w in words if w not in _LIGHT] or words)


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= _SHORTEST:
            doubled = len(stem) > _SHORTEST and stem[-1] == stem[-2] and stem[-1] not in "ls"
            stem = stem[:-1] if doubled else stem
            return stem.removesuffix("e") if len(stem) > _SHORTEST else stem
    return word.removesuffix("e") if len(word) > _SHORTEST else word
