"""Text-only tasks in the very form of SUGAR's prompt: text stands where the action tokens will stand."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from corpora import Synset
from unseen import Unseen, normalize, stem

_DOING = re.compile(
    r"^(?:an?|the|two|three|some|several|many|one|his|her)? ?(?:[a-z]+ ){1,4}?(?:is|are|was|were) ([a-z]+ing)\b(.*)$"
)
_CUT = re.compile(
    r"\b(?:and|while|with|in|on|at|from|for|to|by|near|using|as|inside|outside|during|which|that|who|then|very|"
    r"is|are|his|her|their|its|into|onto|over|under|through|around|of)\b.*"
)
_PERSON = re.compile(r"\b(?:a|the) (?:man|woman|boy|girl|lady|guy|male|female|child|kid)\b")
_VAGUE = frozenset(
    ("being", "something", "doing", "trying", "going", "showing", "having", "getting", "thing", "things", "it")
)
# Glosses of these files describe what people do.
_ACTIONS = ("verb.motion", "verb.contact", "verb.body", "verb.creation", "verb.competition", "verb.consumption")


@dataclass(frozen=True)
class Item:
    """A name with texts that describe it: one goes into the prompt, another into the answer.

    ``group``: items of one group are close in meaning and serve each other as hard distractors.
    """

    name: str
    texts: tuple[str, ...]
    answers: tuple[str, ...]
    group: str


@dataclass(frozen=True)
class Task:
    """``text`` stands for the action tokens; ``name`` is one of ``candidates``."""

    text: str
    candidates: tuple[str, ...]
    name: str
    description: str


def synset_items(synsets: Sequence[Synset], unseen: Unseen) -> list[Item]:
    """One item for each name of each synset: gloss and examples describe it. Blocked names are left out."""
    items = []
    for synset in synsets:
        texts = (synset.gloss, *(f"{synset.gloss}: {example}" for example in synset.examples), *synset.examples)
        for name in synset.names:
            if name not in unseen:
                answers = tuple(map(sentence, synset.examples or (synset.gloss,)))
                items.append(Item(name, texts, answers, synset.parents[0] if synset.parents else synset.lexicon))
    return items


def caption_items(
    videos: dict[str, list[str]], verbs: frozenset[str], unseen: Unseen, rng: random.Random
) -> list[Item]:
    """One item for each verb phrase that two captions of a video share, described by its other captions."""
    items = []
    for video, captions in videos.items():
        phrases = Counter(phrase for caption in captions if (phrase := verb_phrase(caption)))
        for phrase, count in phrases.items():
            # The commonest phrase of a video is what happens in it; of the rest, most are as good.
            if count >= 3 and phrase not in unseen and _VAGUE.isdisjoint(phrase.split()):
                others = tuple(dict.fromkeys(c for c in captions if not c.endswith(phrase))) or tuple(captions[:3])
                for name in styles(phrase, verbs):
                    if name not in unseen:
                        items.append(Item(name, others, tuple(map(sentence, others)), video))
    rng.shuffle(items)
    return items


def verb_phrase(caption: str) -> str | None:
    """``a man is slicing a potato with a knife`` -> ``slicing a potato``; None where there is no such form."""
    found = _DOING.match(caption)
    if found is None:
        return None
    words = (found[1] + _CUT.sub("", found[2])).split()
    while words and words[-1] in ("a", "an", "the", "some", "up", "down") and len(words) > 2:
        words.pop()
    return " ".join(words) if 1 <= len(words) <= 5 and words[-1] not in ("a", "an", "the", "some") else None


def styles(phrase: str, verbs: frozenset[str]) -> list[str]:
    """``slicing a potato`` as lists of actions may have it: also ``slice a potato`` and ``slice potato``."""
    first, *rest = phrase.split()
    base = base_form(first, verbs)
    names = [phrase]
    if base is not None:
        short = [word for word in rest if word not in ("a", "an", "the", "some")]
        names += [" ".join([base, *rest]), " ".join([base, *short])]
    return list(dict.fromkeys(names))


def base_form(word: str, verbs: frozenset[str]) -> str | None:
    """``slicing`` -> ``slice``, by the verbs of WordNet."""
    root = word.removesuffix("ing")
    undoubled = root[:-1] if len(root) > 2 and root[-1] == root[-2] else root
    for form in (root + "e", root, undoubled):
        if form in verbs:
            return form
    return None


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    text = text.strip().rstrip(".;,")
    return f"{text[:1].upper()}{text[1:]}" + ("" if text[-1:] in ("!", "?", '"') else ".")


def somebody(caption: str, rng: random.Random) -> str:
    """The caption with a person in the place of its man or woman, as our packs say it."""
    return _PERSON.sub(lambda _: rng.choice(("a person", "someone")), caption)


def is_action(synset: Synset) -> bool:
    """A verb of what bodies do."""
    return synset.lexicon in _ACTIONS


class TaskMaker:
    """Draws tasks from items of one source; every candidate of a list comes from that source."""

    def __init__(self, items: Sequence[Item], weights: Sequence[float], seed: int) -> None:
        self._items = items
        self._cumulative = []
        total = 0.0
        for weight in weights:
            total += weight
            self._cumulative.append(total)
        self._groups: dict[str, list[Item]] = {}
        for item in items:
            self._groups.setdefault(item.group, []).append(item)
        self._stems = {item.name: frozenset(normalize(item.name)) or frozenset({stem(item.name)}) for item in items}
        self._rng = random.Random(seed)

    def draw(self, size: int, *, hard: bool = True) -> Task:
        """A task with ``size`` candidates in random order; ``hard``: up to a third are close in meaning."""
        rng = self._rng
        item = rng.choices(self._items, cum_weights=self._cumulative)[0]
        text = rng.choice(item.texts)
        if len(item.texts) > 2 and rng.random() < 0.3:
            text = ". ".join(rng.sample(item.texts, 2))
        others = [answer for answer in item.answers if answer.lower().rstrip(".") not in text.lower()]
        return Task(text, self.candidates(item, size, hard), item.name, rng.choice(others or item.answers))

    def candidates(self, item: Item, size: int, hard: bool) -> tuple[str, ...]:
        """``item``'s name among ``size - 1`` others: none twice, none with the same words, none of its video."""
        rng = self._rng
        names = {item.name: None}
        used = {self._stems[item.name]}
        if hard and not item.group.startswith("vid") and rng.random() < 0.5:
            near = self._groups[item.group]
            for other in rng.sample(near, min(len(near), size // 3)):
                self._add(other, names, used, set(item.texts))
        while len(names) < size:
            other = rng.choices(self._items, cum_weights=self._cumulative)[0]
            if other.group != item.group:
                self._add(other, names, used, set(item.texts))
        shuffled = list(names)
        rng.shuffle(shuffled)
        return tuple(shuffled)

    def _add(self, other: Item, names: dict[str, None], used: set[frozenset[str]], texts: set[str]) -> None:
        stems = self._stems[other.name]
        # "play guitar" would be right where "play acoustic guitar" is, and so would a name of the same sense.
        if not any(stems <= one or one <= stems for one in used) and texts.isdisjoint(other.texts):
            names[other.name] = None
            used.add(stems)
