"""Measure `sugar-lm` beside two small outside models; writes figures.json beside this file.

python lab/sugar_lm/measure.py --corpora FOLDER --tinystories FOLDER --stories260k FOLDER [--run FOLDER]
"""

import argparse
import hashlib
import json
import math
import os
import platform
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import llama2c
import tokenizers
import torch
import transformers
from build import HELD_OUT
from corpora import Synset, read_captions, read_wordnet
from export import WEIGHTS
from tasks import Item, Task, TaskMaker, caption_items, is_action, sentence, synset_items
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from unseen import Unseen, normalize

from sugar.models.llm.prompts import CHOOSE, label_text
from sugar.models.llm.trie import TokenTrie

SEED = 20261123
CANDIDATES = 10
BATCH = 64


@dataclass(frozen=True)
class Model:
    """A causal LM with the functions from text to ids (without the start token) and back."""

    name: str
    network: LlamaForCausalLM
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    bos: int
    end: int


def load_folder(name: str, folder: Path) -> Model:
    """A model in Hugging Face layout, in float32."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return Model(
        name,
        network,
        lambda text: tokenizer(text, add_special_tokens=False)["input_ids"],
        lambda ids: tokenizer.decode(ids, skip_special_tokens=True),
        int(tokenizer.bos_token_id),
        int(tokenizer.eos_token_id),
    )


def load_llama2c(name: str, folder: Path) -> Model:
    """``stories260K.bin`` and ``tok512.bin`` of llama2.c."""
    tokenizer = llama2c.Tokenizer(folder / "tok512.bin")
    network = llama2c.read_model(folder / "stories260K.bin")
    return Model(name, network, tokenizer.encode, tokenizer.decode, llama2c.BOS, llama2c.BOS)


@torch.inference_mode()
def token_nats(model: Model, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
    """-log p of each token after the first of each sequence (natural logarithm)."""
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    nats: list[Tensor] = [torch.empty(0)] * len(sequences)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        width = max(len(sequences[i]) for i in chosen)
        # Right padding stands after every token that counts, so a causal model needs no mask.
        ids = torch.tensor([[*sequences[i], *[model.end] * (width - len(sequences[i]))] for i in chosen])
        each = model.network(input_ids=ids).logits[:, :-1].float().log_softmax(2).gather(2, ids[:, 1:, None])[..., 0]
        for row, i in zip(each, chosen, strict=True):
            nats[i] = -row[: len(sequences[i]) - 1]
    return nats


def bits_per_byte(model: Model, texts: Sequence[str]) -> float:
    """The nats of all tokens of each text after the start token, by the bytes of the texts; no end token counted."""
    nats = token_nats(model, [[model.bos, *model.encode(text)] for text in texts])
    return sum(float(n.sum()) for n in nats) / math.log(2) / sum(len(text.encode()) for text in texts)


def task_ids(model: Model, task: Task) -> list[int]:
    """The prompt as SUGAR cuts it: before the action tokens, the text in their place, after them."""
    before, after = CHOOSE.render(task.candidates)
    return [model.bos, *model.encode(before), *model.encode(task.text), *model.encode(after)]


@torch.inference_mode()
def choose(model: Model, task: Task) -> tuple[str, str]:
    """The likeliest candidate by SUGAR's trie score, and by the plain sum of its tokens' log-probabilities."""
    prompt = task_ids(model, task)
    labels = [model.encode(label_text(name)) for name in task.candidates]
    trie = TokenTrie.build(labels, task.candidates, end=model.end)
    width = max(map(len, labels))
    ids = torch.tensor([[*prompt, *label, *[model.end] * (width - len(label))] for label in labels])
    logits = model.network(input_ids=ids).logits[:, len(prompt) - 1 :].float()
    sums = [
        float(logits[k, : len(label)].log_softmax(1).gather(1, torch.tensor(label)[:, None]).sum())
        for k, label in enumerate(labels)
    ]
    at_nodes = []
    for node in trie.branch_nodes:
        path = trie.path(node)
        owner = next(k for k, label in enumerate(labels) if label[: len(path)] == path)
        at_nodes.append(logits[owner, len(path)])
    scores = trie.log_probs(torch.stack(at_nodes)[None])[0].tolist()
    best = max(range(len(labels)), key=scores.__getitem__)
    return task.candidates[best], task.candidates[max(range(len(labels)), key=sums.__getitem__)]


def overlap_accuracy(tasks: Sequence[Task]) -> float:
    """Choosing the name that shares most word stems with the text; ties count as a fair draw."""
    total = 0.0
    for task in tasks:
        words = set(normalize(task.text))
        shared = {name: len(words & set(normalize(name))) for name in task.candidates}
        best = max(shared.values())
        ties = [name for name, count in shared.items() if count == best]
        total += (task.name in ties) / len(ties)
    return total / len(tasks)


def gloss_tasks(synsets: Sequence[Synset], keys: Sequence[str], unseen: Unseen) -> dict[str, Task]:
    """For each held-out sense its gloss, one of its names and nine random names of the same kind.

    Senses whose names are all blocked are left out.
    """
    named = {
        s.key: synset_items([s], unseen) for s in synsets if s.lexicon.startswith(("verb", "noun.act", "noun.event"))
    }
    by_key = {s.key: s for s in synsets}
    verbs = [item for key, items in named.items() if key.endswith("v") for item in items]
    nouns = [item for key, items in named.items() if key.endswith("n") for item in items]
    makers = {kind: TaskMaker(items, [1.0] * len(items), SEED) for kind, items in (("v", verbs), ("n", nouns))}
    rng, tasks = random.Random(SEED), {}
    for key in (key for key in keys if named[key]):
        item = rng.choice(named[key])
        names = makers[key[-1]].candidates(item, CANDIDATES, hard=False)
        tasks[key] = Task(by_key[key].gloss, names, item.name, "")
    return tasks


def caption_tasks(videos: dict[str, list[str]], verbs: frozenset[str], unseen: Unseen, count: int) -> list[Task]:
    """Tasks of the test videos: one caption, the verb phrase of others and nine of other videos."""
    items: list[Item] = caption_items(videos, verbs, unseen, random.Random(SEED))
    maker = TaskMaker(items, [1.0] * len(items), SEED)
    return [maker.draw(CANDIDATES, hard=False) for _ in range(count)]


def accuracies(model: Model, tasks: Sequence[Task]) -> dict[str, float]:
    answers = [choose(model, task) for task in tasks]
    return {
        "trie": round(sum(a == t.name for (a, _), t in zip(answers, tasks, strict=True)) / len(tasks), 4),
        "sum": round(sum(b == t.name for (_, b), t in zip(answers, tasks, strict=True)) / len(tasks), 4),
    }


def continuations(model: Model, beginnings: Sequence[list[int]]) -> list[dict[str, str]]:
    """One sample for each beginning at temperature 0.8 from the whole vocabulary; none is thrown away."""
    torch.manual_seed(SEED)
    written = []
    for ids in beginnings:
        out = model.network.generate(
            torch.tensor([ids]), do_sample=True, temperature=0.8, top_k=0, max_new_tokens=60,
            eos_token_id=model.end, pad_token_id=model.end,
        )  # fmt: skip
        new = out[0, len(ids) :].tolist()
        written.append({"beginning": model.decode(ids), "continuation": model.decode(new)})
    return written


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--tinystories", type=Path, required=True, help="a Hugging Face folder")
    parser.add_argument("--stories260k", type=Path, required=True, help="stories260K.bin and tok512.bin of llama2.c")
    parser.add_argument("--to", type=Path, default=Path(__file__).with_name("figures.json"))
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, to watch a training")
    args = parser.parse_args()
    began, part = time.monotonic(), 10 if args.quick else 1
    held_out, unseen = json.loads(HELD_OUT.read_text()), Unseen.load()
    videos = read_captions(args.corpora / "msvd-captions", "test")
    captions = [caption for own in videos.values() for caption in own][::part]
    synsets = read_wordnet(args.corpora / "english-wordnet")
    verbs = frozenset(m for s in synsets if s.lexicon.startswith("verb") for m in s.members)
    glosses = gloss_tasks(synsets, held_out["synsets"][::part], unseen)
    actions = {s.key for s in synsets if is_action(s)}
    tasks = {
        "held_out_glosses": list(glosses.values()),
        "held_out_glosses_of_bodily_verbs": [task for key, task in glosses.items() if key in actions],
        "test_captions": caption_tasks(videos, verbs, unseen, 1000 // part),
    }
    sentences = held_out["pack_sentences"]
    texts = {
        "test_captions": captions,
        "test_captions_as_sentences": [sentence(caption) for caption in captions],
        "pack_sentences": [s["text"] for s in sentences],
        "pack_sentences_nw_ucla": [s["text"] for s in sentences if s["pack"] == "nw_ucla"],
        "pack_sentences_synthetic": [s["text"] for s in sentences if s["pack"] == "synthetic"],
    }
    figures: dict = {
        "seed": SEED,
        "texts": {name: {"count": len(t), "bytes": sum(len(x.encode()) for x in t)} for name, t in texts.items()},
        "tasks": {
            name: {"count": len(t), "chance": 1 / CANDIDATES, "word_overlap": round(overlap_accuracy(t), 4)}
            for name, t in tasks.items()
        },
        "models": {},
    }
    models = [
        load_folder("sugar-lm", args.weights),
        load_folder("tinystories-656k", args.tinystories),
        load_llama2c("stories260k", args.stories260k),
    ]
    for model in models:
        figures["models"][model.name] = {
            "parameters": sum(p.numel() for p in model.network.parameters()),
            "bits_per_byte": {name: round(bits_per_byte(model, t), 4) for name, t in texts.items()},
        }
    for model in models[: 1 if args.quick else None]:
        figures["models"][model.name]["list_task"] = {name: accuracies(model, t) for name, t in tasks.items()}
    ours = models[0]
    rng = random.Random(SEED)
    beginnings = [
        *([ours.bos, *ours.encode(" ".join(c.split()[:3]))] for c in rng.sample(captions, 3)),
        *([ours.bos, *ours.encode(" ".join(s["text"].split()[:4]))] for s in rng.sample(sentences, 3)),
        *(task_ids(ours, task) for task in rng.sample(tasks["held_out_glosses"], 2)),
        *(task_ids(ours, task) for task in rng.sample(tasks["test_captions"], 2)),
    ]
    figures["continuations"] = continuations(ours, beginnings)
    figures["hashes"] = {
        file.name: file_hash(file) for file in sorted(args.weights.glob("*.*")) if file.suffix != ".md"
    }
    figures["hashes"]["held_out.json"] = file_hash(HELD_OUT)
    figures["versions"] = {
        "python": platform.python_version(), "torch": torch.__version__,
        "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
    }  # fmt: skip
    figures["hardware"] = {"machine": platform.machine(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    figures["seconds"] = round(time.monotonic() - began)
    args.to.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: m for name, m in figures["models"].items()}, indent=1))


if __name__ == "__main__":
    main()
