"""Run a model over the clips of a store: scores of every scorer, and descriptions."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track

from sugar.datasets.batches import ClipDataset, collate
from sugar.datasets.store import Store
from sugar.errors import InputError
from sugar.models.sugar import SCORERS, Sugar

Table = npt.NDArray[np.float64]


def score_clips(
    model: Sugar,
    store: Store,
    indices: npt.NDArray[np.int64],
    candidates: Sequence[str],
    *,
    scorers: Sequence[str] = SCORERS,
    batch_size: int = 64,
) -> dict[str, Table]:
    """Log-probabilities ``[N, K]`` over the candidates by scorer, in the order of ``indices``.

    Raises:
        InputError: the store's joints are not those the model reads, or there is no clip.
    """
    if store.layout != model.layout:
        raise InputError(
            f"store {store.path}: its joints are {store.layout.name}, this model reads {model.layout.name}"
        )
    if len(indices) == 0:
        raise InputError(f"store {store.path}: no clip to score")
    model.eval()
    dataset = ClipDataset(store, indices, model.config.preprocess, cache=False)
    # Clips of like length together: little padding, and the order is put back at the end.
    order = np.argsort(store.lengths[indices], kind="stable")
    parts: dict[str, list[torch.Tensor]] = {}
    pieces = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    console = Console(stderr=True)
    for piece in track(pieces, "scoring", console=console, transient=True, disable=not console.is_terminal):
        batch = collate([dataset[int(i)] for i in piece]).to(model.device)
        scores = model.score(batch, candidates, scorers)
        for scorer, table in scores.items():
            parts.setdefault(scorer, []).append(table.double().cpu())
    back = np.argsort(order, kind="stable")
    return {scorer: torch.cat(tables).numpy()[back] for scorer, tables in parts.items()}


def describe_clips(
    model: Sugar,
    store: Store,
    indices: npt.NDArray[np.int64],
    candidates: Sequence[str],
    labels: Sequence[str] | None,
    *,
    batch_size: int = 32,
) -> list[str]:
    """What the LLM says of each clip: after its recognised label, one per index, or freely (``labels`` None)."""
    model.eval()
    dataset = ClipDataset(store, indices, model.config.preprocess, cache=False)
    texts: list[str] = []
    for start in range(0, len(indices), batch_size):
        stop = min(start + batch_size, len(indices))
        batch = collate([dataset[i] for i in range(start, stop)]).to(model.device)
        texts += model.describe(batch, candidates, None if labels is None else labels[start:stop])
    return texts
