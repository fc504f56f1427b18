"""Cost and exactness of scoring candidate names with the LLM: ``python lab/benchmarks/scoring.py [--json]``.

Without ``--llm`` a Llama of 6 layers and width 512 with random weights and a vocabulary of 32,000 stands in:
time does not depend on what the weights say. The target: scoring 100 candidates (prompt and trie, tokenizing
included) costs at most twice the prompt's own forward.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from sugar.errors import InputError
from sugar.models.llm.model import LanguageConfig, LanguageModel

VERBS = (
    "pick up", "put down", "throw", "catch", "carry", "push", "pull", "kick", "lift", "point at",
    "reach for", "wipe", "open", "close", "shake", "look at", "walk around", "sit down on", "hand over",
    "drop",
)  # fmt: skip
OBJECTS = ("the ball", "the box", "the bottle", "the chair", "the bag with two hands")
NAMES = [f"{verb} {thing}" for verb in VERBS for thing in OBJECTS]


def random_llm() -> LanguageModel:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # A few merges: about one and a half tokens a word, as a large vocabulary has on action names.
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(NAMES, trainer)
    config = LlamaConfig(
        vocab_size=32_000,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=2048,
    )
    return LanguageModel(
        model=LlamaForCausalLM(config),
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>"),
        config=LanguageConfig(name="random Llama, 6 x 512", lora=False),
    )


def seconds(work: dict[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, float]:
    """Median time of each piece of work, taken in turns, so that a busy machine is unfair to none."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        for name, run in work.items():
            start = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:  # the first turn warms up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


@torch.no_grad()
def measure(model: LanguageModel, *, batch: int, num_queries: int, candidates: int, repeats: int) -> dict:
    model.eval()
    device = model.action_scale.device
    names = NAMES[:candidates]
    tokens = torch.randn(batch, num_queries, model.width, device=device)
    trie = model.trie(names)
    length = model.prompts.batch([names], [[]], num_queries=num_queries).ids.shape[1]
    dtype = next(model.model.parameters()).dtype
    prompt = torch.randn(batch, length, model.width, device=device, dtype=dtype) * model.action_scale.to(dtype)
    mask = torch.ones(batch, length, dtype=torch.long, device=device)

    model.config.tree_attention = False
    by_paths = model.score(tokens, names, batch_size=batch)
    model.config.tree_attention = True
    scores = model.score(tokens, names, batch_size=batch)
    times = seconds(
        {
            "prompt": lambda: model.model(inputs_embeds=prompt, attention_mask=mask, use_cache=False, logits_to_keep=1),
            "score": lambda: model.score(tokens, names, batch_size=batch),
        },
        device,
        repeats,
    )
    return {
        "llm": model.config.name,
        "device": str(device),
        "batch": batch,
        "candidates": len(names),
        "prompt_tokens": length,
        "answer_tokens": sum(len(model.prompts.label(name)) for name in names),
        "trie_nodes_read": len(trie.tokens),
        "branching_nodes": len(trie.branch_nodes),
        "prompt_s": times["prompt"],
        "score_s": times["score"],
        "ratio": times["score"] / times["prompt"],
        "max_error_of_sum": (scores.exp().sum(1) - 1).abs().max().item(),
        "max_difference_to_plain_forwards": (scores - by_paths).abs().max().item(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llm", help="folder or id of a Hugging Face causal LM; default: a random Llama")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16", "auto"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--candidates", type=int, default=100, help=f"at most {len(NAMES)}")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--num-queries", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    torch.manual_seed(0)
    try:
        model = (
            LanguageModel.load(LanguageConfig(name=options.llm, dtype=options.dtype, lora=False))
            if options.llm
            else random_llm()
        ).to(options.device)
        result = measure(
            model,
            batch=options.batch,
            num_queries=options.num_queries,
            candidates=options.candidates,
            repeats=options.repeats,
        )
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:34} {value:.3g}" if isinstance(value, float) else f"{name:34} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
