"""Does the LLM say the name that its soft label tokens say? No clip is needed: lists and probabilities are drawn.

    python lab/benchmarks/soft_label_tokens.py RUN --pack utd_mhad

For the run's own actions and for those of the pack that it was not trained on: how often the LLM's first name is the
likeliest one, for random lists with normally distributed scores, from near ties (factor 0.7) to certainty (3).
"""

import argparse
from pathlib import Path

import torch

from sugar.knowledge.pack import load_pack
from sugar.models.llm.soft_label_tokens import LabelEmbeddings
from sugar.models.run_folder import load_model
from sugar.models.sugar import Sugar

FACTORS = (0.7, 1.5, 3.0)


@torch.no_grad()
def agreement(model: Sugar, names: list[str], factor: float, *, lists: int, size: int, seed: int) -> float:
    """Share of ``lists`` lists of ``size`` names in which the LLM says the likeliest."""
    if model.soft_label_tokens is None or model.language is None:
        raise SystemExit("the run has no soft label tokens: train it with model.soft_label_tokens true")
    generator = torch.Generator().manual_seed(seed)
    agreed = 0
    for _ in range(lists):
        chosen = [names[int(k)] for k in torch.randperm(len(names), generator=generator)[:size]]
        class_probabilities = (factor * torch.randn(1, len(chosen), generator=generator)).softmax(dim=1)
        words, mask = model.soft_label_tokens(
            class_probabilities, LabelEmbeddings.from_names(tuple(chosen), model.language)
        )
        projector = words.new_zeros(1, model.config.projector.num_queries, words.shape[2])
        tokens = torch.cat([projector, words], dim=1)
        heard = torch.cat([mask.new_zeros(projector.shape[:2]), mask], dim=1)
        agreed += int(model.language.score(tokens, chosen, heard).argmax()) == int(class_probabilities.argmax())
    return agreed / lists


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pack", required=True)
    parser.add_argument("--lists", type=int, default=200)
    parser.add_argument("--size", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    model = load_model(given.run)
    trained = list(model.classes)
    for what, names in (("trained", trained), ("new", [n for n in load_pack(given.pack).names if n not in trained])):
        for factor in FACTORS:
            size = min(given.size, len(names))
            share = agreement(model, names, factor, lists=given.lists, size=size, seed=given.seed)
            print(f"{what} names, lists of {size}, factor {factor}: {100 * share:.1f} % of {given.lists}", flush=True)


if __name__ == "__main__":
    main()
