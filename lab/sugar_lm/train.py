"""Train `sugar-lm` on the rows of `build.py`, on one CPU thread; a stopped run continues from its checkpoint.

    python lab/sugar_lm/train.py --work FOLDER --tokens 30000000

The rate is constant after a warm-up and falls to zero over the last part (warm-up, stable, decay), so the number of
tokens may be changed between two calls of one run.
"""

import argparse
import json
import math
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

SEED = 20261123
STEP_TOKENS = 4096
WARM_UP_STEPS = 150


def make_model(vocabulary: int) -> LlamaForCausalLM:
    """4.0 M parameters; input and output embeddings are one."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)


def make_optimizers(model: LlamaForCausalLM, kind: str) -> list[torch.optim.Optimizer]:
    """Muon for the matrices between embeddings and head, AdamW for the rest; or AdamW for all."""
    inner = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    if kind == "adamw":
        return [torch.optim.AdamW([*inner, *rest], lr=2e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)]
    return [
        torch.optim.Muon(inner, lr=0.02, momentum=0.95, weight_decay=0.05),
        torch.optim.AdamW(rest, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def rate(step: int, steps: int, decay: float) -> float:
    """The share of the full rate at ``step``: up over 150 steps, constant, then down over the last ``decay``."""
    return min(1.0, (step + 1) / WARM_UP_STEPS, (steps - step) / max(1.0, decay * steps))


class Schedule:
    """Which batch a step reads: the drill for ``steps`` steps from ``start`` on, else the other rows."""

    def __init__(self, rows: "Rows", drill: "Rows | None", start: int, steps: int) -> None:
        self._rows, self._drill, self._start, self._end = rows, drill, start, start + steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        if self._drill is None or step < self._start:
            return self._rows[step]
        return self._drill[step - self._start] if step < self._end else self._rows[step - self._end + self._start]


class Rows:
    """Batches of 4,096 tokens, each of rows of one length, in an order that the seed fixes."""

    def __init__(self, path: Path, seed: int) -> None:
        saved = np.load(path)
        self._ids = {name.removeprefix("ids_"): saved[name] for name in saved.files if name.startswith("ids_")}
        self._weights = {length: saved[f"weights_{length}"] for length in self._ids}
        rng = np.random.default_rng(seed)
        self._order = []
        for length, ids in self._ids.items():
            size = STEP_TOKENS // int(length)
            batches = rng.permutation(len(ids))[: len(ids) // size * size].reshape(-1, size)
            self._order += [(length, batch) for batch in batches]
        rng.shuffle(self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        length, batch = self._order[step % len(self)]
        ids = torch.from_numpy(self._ids[length][batch].astype(np.int64))
        return ids, torch.from_numpy(self._weights[length][batch].astype(np.float32))


def weighted_loss(model: LlamaForCausalLM, ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted mean of the next tokens' negative log-likelihoods, and all of them ``[B, T - 1]``."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[:, :-1])
    each = F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
    chosen = weights[:, 1:].flatten()
    return (each * chosen).sum() / chosen.sum(), each.view(ids.shape[0], -1)


def by_weight(each: Tensor, weights: Tensor) -> dict[str, float]:
    """Mean nats of each kind of token: 1 lists and frames, 10 text, 30 names in answers."""
    chosen = weights[:, 1:]
    return {str(int(w)): round(float(each[chosen == w].mean()), 4) for w in (1.0, 10.0, 30.0) if (chosen == w).any()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="the folder of build.py")
    parser.add_argument("--run", type=Path, default=None, help="checkpoints and curve; default: --work/run")
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--decay", type=float, default=0.25, help="share of the tokens over which the rate falls")
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--drill-from", type=int, default=1085, help="the first step of the drill")
    parser.add_argument("--drill-steps", type=int, default=0)
    parser.add_argument("--save-minutes", type=float, default=3.0)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="a third faster")
    args = parser.parse_args(arguments)
    run: Path = args.run or args.work / "run"
    run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    vocabulary = json.loads((args.work / "build.json").read_text())["vocabulary"]
    model = make_model(vocabulary)
    optimizers = make_optimizers(model, args.optimizer)
    full = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    drill = Rows(args.work / "drill.npz", SEED) if args.drill_steps else None
    rows = Schedule(Rows(args.work / "rows.npz", SEED), drill, args.drill_from, args.drill_steps)
    steps = math.ceil(args.tokens / STEP_TOKENS)
    checkpoint = run / "checkpoint.pt"
    step, seconds = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        step, seconds = saved["step"], saved["seconds"]

    def save() -> None:
        states = [optimizer.state_dict() for optimizer in optimizers]
        content = {"model": model.state_dict(), "optimizers": states, "step": step, "seconds": seconds}
        torch.save(content, checkpoint.with_suffix(".new"))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)

    stopped: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    compute = torch.compile(weighted_loss, dynamic=False) if args.compile else weighted_loss
    last_save, started = time.monotonic(), time.monotonic()
    with (run / "curve.jsonl").open("a") as curve:
        while step < steps and not stopped:
            ids, weights = rows[step]
            with torch.autocast("cpu", torch.bfloat16):
                loss, each = compute(model, ids, weights)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            share = rate(step, steps, args.decay)
            for optimizer, rates in zip(optimizers, full, strict=True):
                for group, value in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = value * share
                optimizer.step()
                optimizer.zero_grad()
            step += 1
            seconds += time.monotonic() - started
            started = time.monotonic()
            if step % 20 == 0:
                values = by_weight(each.detach(), weights)
                line = {"tokens": step * STEP_TOKENS, "loss": round(loss.item(), 4), "by_weight": values}
                curve.write(json.dumps(line | {"rate": round(share, 4), "seconds": round(seconds)}) + "\n")
                curve.flush()
            if time.monotonic() - last_save > args.save_minutes * 60:
                save()
                last_save = time.monotonic()
    save()
    signal.signal(signal.SIGTERM, previous)


if __name__ == "__main__":
    main()
