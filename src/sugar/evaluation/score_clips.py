"""Run a model over the clips of a store: scores of every scorer, and descriptions."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track

from sugar.datasets.store.clip_dataset import ClipDataset
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.knowledge.fact_captions import measure_clips
from sugar.models.candidates import Candidates
from sugar.models.scorers.encoded import Encoded
from sugar.models.scorers.scorers import NAMES, describe, score
from sugar.models.sugar import Sugar
from sugar.transforms.batches import ClipBatch, collate
from sugar.transforms.views import View, view_joints

Indices = npt.NDArray[np.int64]
Table = npt.NDArray[np.float64]


def score_clips(
    model: Sugar,
    store: Store,
    indices: Indices,
    candidates: Candidates,
    *,
    scorers: Sequence[str] = NAMES,
    batch_size: int = 64,
) -> dict[str, Table]:
    """Log-probabilities ``[N, K]`` over the candidates by scorer, in the order of ``indices``.

    Raises:
        InputError: the store's joints cannot be brought to the model's layout, or there is no clip.
    """
    measured = _measured(model, store, indices, candidates) if {"motion", "llm"} & set(scorers) else None
    row = {int(index): number for number, index in enumerate(indices)}

    def score_batch(batch: ClipBatch) -> dict[str, torch.Tensor]:
        of_batch = None if measured is None else measured[[row[i] for i in batch.indices.tolist()]]
        return score(Encoded(model, batch, of_batch), candidates, scorers)

    return {name: table.double().numpy() for name, table in in_batches(model, store, indices, score_batch, batch_size)}


def _measured(model: Sugar, store: Store, indices: Indices, candidates: Candidates) -> torch.Tensor | None:
    """What the joints of each clip say, where a score of the candidates needs it."""
    if model.motion is None or model.trained_on(candidates):
        return None
    return measure_clips(store[int(i)] for i in indices)


def motion_embeddings(model: Sugar, store: Store, indices: Indices, *, batch_size: int = 64) -> torch.Tensor:
    """``[N, e]`` clips as the motion head shows them, whole and unmirrored.

    Raises:
        InputError: the store's joints cannot be brought to the model's layout, or there is no clip.
        ValueError: the model has no motion head.
    """
    head = model.motion
    if head is None:
        raise ValueError("motion_embeddings: the model has no motion head")

    @torch.no_grad()
    def embed(batch: ClipBatch) -> dict[str, torch.Tensor]:
        joints, frames = view_joints(batch, model.layout, View(), model.config.frames)
        return {"head": head.embed(*model.encoder(joints, batch.persons, frames))}

    return dict(in_batches(model, store, indices, embed, batch_size))["head"]


def in_batches(
    model: Sugar,
    store: Store,
    indices: Indices,
    work: Callable[[ClipBatch], dict[str, torch.Tensor]],
    batch_size: int = 64,
) -> Iterator[tuple[str, torch.Tensor]]:
    """Rows by name, in the order of ``indices``, of what ``work`` makes of every batch.

    Raises:
        InputError: the store's joints cannot be brought to the model's layout, or there is no clip.
    """
    if len(indices) == 0:
        raise InputError(f"store {store.path}: no clip to score")
    # Clips of like length together: little padding, and the order is put back at the end.
    order = np.argsort(store.lengths[indices], kind="stable")
    parts: dict[str, list[torch.Tensor]] = {}
    for _, batch in _batches(model, store, indices, order, batch_size, "scoring"):
        for name, rows in work(batch).items():
            parts.setdefault(name, []).append(rows.cpu())
    back = torch.from_numpy(np.argsort(order, kind="stable"))
    yield from ((name, torch.cat(rows)[back]) for name, rows in parts.items())


def _batches(
    model: Sugar, store: Store, indices: Indices, order: Indices, batch_size: int, title: str
) -> Iterator[tuple[Indices, ClipBatch]]:
    """The clips of ``indices`` in an order, batch by batch, with the part of the order that each is."""
    model.eval()
    dataset = ClipDataset(store.view(layout=model.layout), indices, model.config.preprocess, cache=False)
    console = Console(stderr=True)
    pieces = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    for piece in track(pieces, title, console=console, transient=True, disable=not console.is_terminal):
        yield piece, collate([dataset[int(i)] for i in piece]).to(model.device)


def describe_clips(
    model: Sugar,
    store: Store,
    indices: Indices,
    candidates: Candidates,
    labels: Sequence[str] | None,
    *,
    batch_size: int = 32,
) -> list[str]:
    """What the LLM says of each clip: after its recognized label, one per index, or freely (``labels`` None)."""
    measured = None if model.soft_label_tokens is None else _measured(model, store, indices, candidates)
    texts: list[str] = []
    for piece, batch in _batches(model, store, indices, np.arange(len(indices)), batch_size, "describing"):
        of_batch = None if measured is None else measured[piece]
        of_labels = None if labels is None else [labels[i] for i in piece]
        texts += describe(Encoded(model, batch, of_batch), candidates, of_labels)
    return texts
