"""Make the tokenizer, the held-out lists and the rows of tokens that `train.py` reads.

python lab/sugar_lm/build.py --corpora FOLDER --work FOLDER
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from corpora import PackSentence, Synset, pack_sentences, read_captions, read_novels, read_wordnet
from tasks import Task, TaskMaker, caption_items, is_action, sentence, somebody, synset_items
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from unseen import Unseen

from sugar.models.llm.prompts import CHOOSE, TOP_FIVE, label_text

HELD_OUT = Path(__file__).with_name("held_out.json")
VOCABULARY = 4096
SEED = 20261123
# Tokens of each kind, in shares of the whole.
SHARES = {
    "repeats": 0.5, "plain_tasks": 0.5,  # of the drill alone
    "task_wordnet": 0.25, "task_captions": 0.21, "task_parts": 0.003,
    "captions": 0.15, "wordnet": 0.18, "novels": 0.20, "packs": 0.004,
}  # fmt: skip
# Row length -> share of the tokens, fewest and most candidates of a list.
ROWS = {256: (0.82, 2, 20), 512: (0.13, 20, 60), 1024: (0.05, 60, 120)}
# Rows of 256 in which names are repeated: a model this small finds copying late by itself.
DRILL_ROWS = 6400
# Weights of the loss in tenths. Random lists of names cannot be foretold: they would drown the rest.
LIST, TEXT, NAME = 1, 10, 30

_MOTION_WORDS = (
    "The right hand rises to head height and moves from side to side four times. The left hand drops below the hip. "
    "Both hands come together in front of the chest and clap. The knees bend and the hips lower. The body turns to "
    "the left and leans forward. The right foot kicks forward quickly. The left arm swings in a circle, clockwise, "
    "counter-clockwise, in a zigzag, in a straight line, upward, downward, sideways, backward. The person sits down, "
    "stands up, squats, kneels, jumps, bows, walks, steps, travels, turns around. Slowly, fast, once, twice, three "
    "times, five times, shoulder height, waist height, knee height, above the head, torso, elbow, wrist, ankle, the "
    "two people, the other person, close, apart, distance, motionless, still, repeated, crosses, meets, reaches. "
)


def train_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE in which a name has the same tokens in a list and at the beginning of an answer.

    Every text gets a leading space and every "[" a following one; decoding takes both away again, so texts
    survive unchanged. Without this the answer "slicing a potato." begins with other tokens than the list's
    ", slicing a potato", and a model of this size would have to learn to spell each name anew.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(" "), normalizers.Replace("[", "[ ")])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Replace("[ ", "["), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


class Encoder:
    """Token ids of texts, and of tasks exactly as `sugar.models.llm.prompts.PromptEncoder` cuts them."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}
        self.bos, self.eos = int(tokenizer.bos_token_id), int(tokenizer.eos_token_id)
        self._before = self(CHOOSE.render(["x"])[0])
        start, end = CHOOSE.render(["x"])[1].split("[x]")
        whole = self(f"{start}[x]{end}")
        self._open = self(f"{start}[x")[: -len(self("x"))]
        self._close = whole[len(self._open) + len(self("x")) :]
        self._comma = self("x, x")[len(self("x")) : -len(self("x"))]

    def __call__(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._known[text]

    def warm(self, texts: Sequence[str]) -> None:
        """Encode many texts at once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for start in range(0, len(new), 20_000):
            part = new[start : start + 20_000]
            self._known.update(zip(part, self._tokenizer(part, add_special_tokens=False)["input_ids"], strict=True))

    def text(self, text: str) -> tuple[list[int], list[int]]:
        """Ids and weights of a text from <s> to </s>."""
        ids = [self.bos, *self(text), self.eos]
        return ids, [TEXT] * len(ids)

    def prompt(self, task: Task) -> tuple[list[int], list[int]]:
        """Ids and weights of the prompt, <s> first."""
        names = self(task.candidates[0]).copy()
        for name in task.candidates[1:]:
            names += self._comma + self(name)
        text = self(task.text)
        head = [self.bos, *self._before]
        tail = [*self._open, *names, *self._close]
        return [*head, *text, *tail], [LIST] * len(head) + [TEXT] * len(text) + [LIST] * len(tail)

    def task(self, task: Task) -> tuple[list[int], list[int]]:
        """Ids and weights of prompt, answer and </s>."""
        ids, weights = self.prompt(task)
        name, rest = self(label_text(task.name)), [*self(task.description), self.eos]
        return [*ids, *name, *rest], weights + [NAME] * len(name) + [TEXT] * len(rest)


Document = tuple[list[int], list[int]]


def forever(
    texts: Sequence[str], encoder: Encoder, rng: random.Random, vary: Callable[[str], str]
) -> Iterator[Document]:
    """The texts in one random order after another."""
    order = list(texts)
    while True:
        rng.shuffle(order)
        for text in order:
            yield encoder.text(vary(text))


def draw_tasks(
    maker: TaskMaker, encoder: Encoder, rng: random.Random, fewest: int, most: int, longest: int
) -> Iterator[Document]:
    """Tasks with ``fewest`` to ``most`` candidates that fit into ``longest`` tokens."""
    while True:
        document = encoder.task(maker.draw(rng.randint(fewest, most)))
        if len(document[0]) <= longest:
            yield document


def pack_rows(
    streams: dict[str, Iterator[Document]], length: int, count: int
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """``count`` rows of ``length``: tasks stay whole, other texts may be cut at a row's end."""
    ids = np.zeros((count, length), dtype=np.uint16)
    weights = np.zeros((count, length), dtype=np.uint8)
    used = dict.fromkeys(streams, 0)
    waiting: dict[str, Document] = {}
    for row in range(count):
        place, closed = 0, set()
        while length - place >= 8:
            kind = min((k for k in streams if k not in closed), key=lambda k: used[k] / SHARES[k])
            document = waiting.pop(kind, None) or next(streams[kind])
            room = length - place
            if len(document[0]) > room and kind.startswith("task"):
                waiting[kind] = document
                closed.add(kind)
                if len(closed) == len(streams):
                    break
                continue
            size = min(room, len(document[0]))
            ids[row, place : place + size] = document[0][:size]
            weights[row, place : place + size] = document[1][:size]
            place += size
            used[kind] += size
        ids[row, place:] = 1  # </s>, with no weight
    return ids, weights, used


def repeats(names: Sequence[str], encoder: Encoder, rng: random.Random) -> Iterator[Document]:
    """A list of names, then the same names once more, in this order or in another: what follows is known."""
    while True:
        chosen = rng.sample(names, rng.randint(3, 12))
        again = chosen if rng.random() < 0.5 else rng.sample(chosen, len(chosen))
        head, tail = encoder(f"[{', '.join(chosen)}]"), encoder(", ".join(again) + ".")
        yield [encoder.bos, *head, *tail, encoder.eos], [LIST] * (len(head) + 1) + [TEXT] * (len(tail) + 1)


def plain_tasks(makers: Sequence[TaskMaker], encoder: Encoder, rng: random.Random) -> Iterator[Document]:
    """Short lists with a text that names its action."""
    while True:
        task = rng.choice(makers).draw(rng.randint(2, 6), hard=False)
        text = f"{rng.choice(('a person is', 'someone is', 'a man is', 'to', 'they'))} {task.name}"
        yield encoder.task(Task(text, task.candidates, task.name, sentence(text)))


def wordnet_text(synset: Synset, rng: random.Random) -> str:
    """A sense as prose: a dictionary entry, a sentence of definition, or an example."""
    words = ", ".join(synset.members[:3])
    draw = rng.random()
    if synset.examples and draw < 0.35:
        return sentence(rng.choice(synset.examples))
    if synset.lexicon.startswith("verb") and draw < 0.6:
        return f"To {rng.choice(synset.members)} is to {synset.gloss}."
    example = f' "{sentence(rng.choice(synset.examples))}"' if synset.examples else ""
    return f"{words}: {synset.gloss}.{example}"


def hold_out(synsets: Sequence[Synset], unseen: Unseen, rng: random.Random) -> dict:
    """Draw what is never trained on: 60 sentences of the packs, 1,000 synsets to measure and 200 to watch."""
    sentences = rng.sample(pack_sentences(), 60)
    usable = [
        s.key for s in synsets
        if (s.lexicon.startswith("verb") or s.lexicon in ("noun.act", "noun.event"))
        and any(name not in unseen for name in s.names)
    ]  # fmt: skip
    drawn = rng.sample(usable, 1200)
    return {
        "seed": SEED,
        "pack_sentences": [
            {"sha256": s.sha256, "pack": s.pack, "class": s.action, "kind": s.kind, "text": s.text} for s in sentences
        ],
        "synsets": drawn[:1000],
        "watched_synsets": drawn[1000:],
    }


def task_weight(synset: Synset) -> float:
    """Verbs of bodies first, then other verbs and acts; of the rest a little for their words."""
    if is_action(synset):
        return 4.0
    if synset.lexicon.startswith("verb"):
        return 2.0
    return 1.0 if synset.lexicon in ("noun.act", "noun.event", "noun.body") else 0.1


@dataclass(frozen=True)
class Sources:
    """All texts of the training; nothing that is held out is in them."""

    synsets: list[Synset]
    verbs: frozenset[str]
    videos: dict[str, list[str]]
    novels: list[str]
    packs: list[PackSentence]

    @classmethod
    def read(cls, corpora: Path, unseen: Unseen, rng: random.Random) -> "Sources":
        """Read the corpora; the held-out lists are drawn where there are none yet."""
        everything = read_wordnet(corpora / "english-wordnet")
        if not HELD_OUT.exists():
            HELD_OUT.write_text(json.dumps(hold_out(everything, unseen, random.Random(SEED)), indent=1) + "\n")
        held_out = json.loads(HELD_OUT.read_text())
        kept_back = {*held_out["synsets"], *held_out["watched_synsets"]}
        # Where another sense has a gloss or an example of a kept-back one, it is kept back as well.
        spoken = {text for s in everything if s.key in kept_back for text in (s.gloss, *s.examples)}
        hidden = {entry["sha256"] for entry in held_out["pack_sentences"]}
        return cls(
            [s for s in everything if s.key not in kept_back and spoken.isdisjoint((s.gloss, *s.examples))],
            frozenset(m for s in everything if s.lexicon.startswith("verb") for m in s.members),
            read_captions(corpora / "msvd-captions", "train"),
            read_novels(corpora / "100_english_novels", 16_000_000, rng),
            [s for s in pack_sentences(["nw_ucla"]) if s.sha256 not in hidden],
        )

    @property
    def captions(self) -> list[str]:
        return [caption for own in self.videos.values() for caption in own]

    def tokenizer_texts(self) -> list[str]:
        """What the tokenizer learns from: much of how actions are spoken of, a little of all else."""
        return [
            *self.captions, *map(sentence, self.captions), *self.novels[:8000], *([p.text for p in self.packs] * 20),
            *[_MOTION_WORDS] * 100, *(t for s in self.synsets for t in (s.gloss, *s.examples, ", ".join(s.members))),
            *[CHOOSE.template, TOP_FIVE.template] * 1000,
        ]  # fmt: skip


class Streams:
    """Endless documents of each kind."""

    def __init__(self, sources: Sources, encoder: Encoder, unseen: Unseen, rng: random.Random) -> None:
        self._sources, self._encoder, self._rng = sources, encoder, rng
        named = [(i, task_weight(s) / len(s.names)) for s in sources.synsets for i in synset_items([s], unseen)]
        shown = caption_items(sources.videos, sources.verbs, unseen, rng)
        self._by_gloss = TaskMaker([item for item, _ in named], [weight for _, weight in named], SEED + 1)
        self._by_caption = TaskMaker(shown, [1.0] * len(shown), SEED + 2)
        self._names = sorted({item.name for item in shown} | {item.name for item, weight in named if weight >= 1})
        items = [*(item for item, _ in named), *shown]
        encoder.warm([t for i in items for t in (i.name, label_text(i.name), *i.texts, *i.answers)])
        print(f"{len(sources.synsets)} synsets, {len(named)} of their names, {len(shown)} items of captions")

    def mixture(self, fewest: int, most: int, longest: int) -> dict[str, Iterator[Document]]:
        """The kinds of the rows, with lists of ``fewest`` to ``most`` names in at most ``longest`` tokens."""
        encoder, rng, novels = self._encoder, self._rng, self._sources.novels
        pairs = [" ".join(novels[i : i + 2]) for i in range(0, len(novels), 2)]
        return {
            "task_wordnet": draw_tasks(self._by_gloss, encoder, rng, fewest, most, longest),
            "task_captions": draw_tasks(self._by_caption, encoder, rng, fewest, most, longest),
            "task_parts": self._parts(),
            "captions": forever(self._sources.captions, encoder, rng, self._caption),
            "wordnet": self._wordnet(),
            "novels": forever(pairs, encoder, rng, str),
            "packs": forever([p.text for p in self._sources.packs], encoder, rng, str),
        }

    def drill(self) -> dict[str, Iterator[Document]]:
        """The kinds of the drill."""
        makers = (self._by_gloss, self._by_caption)
        return {
            "repeats": repeats(self._names, self._encoder, self._rng),
            "plain_tasks": plain_tasks(makers, self._encoder, self._rng),
        }

    def _caption(self, caption: str) -> str:
        draw = self._rng.random()
        return caption if draw < 0.5 else sentence(caption if draw < 0.8 else somebody(caption, self._rng))

    def _wordnet(self) -> Iterator[Document]:
        synsets = self._sources.synsets
        order = [s for s in synsets for _ in range(3 if is_action(s) else 2 if s.lexicon.startswith("verb") else 1)]
        while True:
            self._rng.shuffle(order)
            for synset in order:
                yield self._encoder.text(wordnet_text(synset, self._rng))

    def _parts(self) -> Iterator[Document]:
        """What six body parts do, without the action's name, then a description."""
        by_class: dict[str, dict[str, list[str]]] = {}
        for p in self._sources.packs:
            by_class.setdefault(p.action, {}).setdefault(p.kind, []).append(p.text)
        usable = [kinds for kinds in by_class.values() if "motion" in kinds and "descriptions" in kinds]
        while True:
            kinds = self._rng.choice(usable)
            parts = self._rng.choice(kinds["motion"]).partition(": ")[2]
            yield self._encoder.text(f"{parts}. {self._rng.choice(kinds['descriptions'])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, required=True, help="folder with the three corpora")
    parser.add_argument("--work", type=Path, required=True, help="folder for tokenizer and rows")
    parser.add_argument("--tokens", type=int, default=32_000_000)
    parser.add_argument(
        "--tokenizer", type=Path, default=None, help="use this folder's: training one anew may break ties otherwise"
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    unseen, rng = Unseen.load(), random.Random(SEED)
    sources = Sources.read(args.corpora, unseen, rng)
    if args.tokenizer is None:
        tokenizer = train_tokenizer(sources.tokenizer_texts())
    else:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(args.tokenizer)
    tokenizer.save_pretrained(args.work / "tokenizer")
    streams = Streams(sources, Encoder(tokenizer), unseen, rng)

    rows, used = {}, {}
    for length, (share, fewest, most) in ROWS.items():
        mixture = streams.mixture(fewest, most, longest=length - 16)
        ids, weights, used[str(length)] = pack_rows(mixture, length, round(args.tokens * share / length))
        rows |= {f"ids_{length}": ids, f"weights_{length}": weights}
    np.savez(args.work / "rows.npz", **rows)
    ids, weights, used["drill"] = pack_rows(streams.drill(), 256, DRILL_ROWS)
    np.savez(args.work / "drill.npz", ids_256=ids, weights_256=weights)
    summary = {"seed": SEED, "vocabulary": len(tokenizer), "tokens": used}
    (args.work / "build.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(json.dumps(summary["tokens"]))


if __name__ == "__main__":
    main()
