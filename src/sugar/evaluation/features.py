"""What an encoder makes of whole clips, pooled over time: the features that reports map and measure."""

import numpy as np
import numpy.typing as npt
import torch

from sugar.datasets.batches import ClipDataset, collate
from sugar.datasets.store import Store
from sugar.datasets.views import View, view_joints
from sugar.evaluation.embedding_map import FeatureSpace
from sugar.models.alignment import masked_mean
from sugar.models.encoders.build import build_encoder
from sugar.models.sugar import Sugar

STAGE_ONE = "stage 1"


@torch.no_grad()
def feature_spaces(
    model: Sugar, store: Store, indices: npt.NDArray[np.int64], *, seed: int, batch_size: int = 64
) -> list[FeatureSpace]:
    """The same clips, whole, as encoders see them before and after knowledge.

    ``untrained`` (fresh weights, from ``seed``), ``cross-entropy`` (the linear baseline's encoder, where there is
    one), ``stage 1``, and ``text space`` (stage 1 after its projection).

    Raises:
        InputError: the store's joints cannot be brought to the model's layout.
    """
    model.eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build_encoder(model.config.encoder, model.layout).to(model.device).eval()
    encoders = {"untrained": fresh, STAGE_ONE: model.encoder}
    if model.baseline is not None:
        encoders = {"untrained": fresh, "cross-entropy": model.baseline.encoder, STAGE_ONE: model.encoder}
    what = {
        "untrained": "the same encoder with fresh weights",
        "cross-entropy": "trained on class indices alone, no texts (the encoder of fc)",
        STAGE_ONE: "trained on the knowledge texts",
        "text space": "stage 1 after its projection, where it meets the texts",
    }
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in what}
    dataset = ClipDataset(store.view(layout=model.layout), indices, model.config.preprocess, cache=False)
    # Clips of like length together: little padding, and the order is put back at the end.
    order = np.argsort(store.lengths[indices], kind="stable")
    for start in range(0, len(order), batch_size):
        batch = collate([dataset[int(i)] for i in order[start : start + batch_size]]).to(model.device)
        joints, frames = view_joints(batch, model.layout, View(), model.config.frames)
        for name, encoder in encoders.items():
            tokens, mask = encoder(joints, batch.persons, frames)
            rows[name].append(masked_mean(tokens, mask).float().cpu())
            if name == STAGE_ONE:
                rows["text space"].append(model.alignment.embed(tokens, mask).float().cpu())
    back = torch.from_numpy(np.argsort(order, kind="stable"))
    return [FeatureSpace(name, what[name], torch.cat(parts)[back].numpy()) for name, parts in rows.items() if parts]
