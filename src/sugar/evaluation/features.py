"""What an encoder makes of whole clips, pooled over time: the features that reports map and measure."""

import numpy as np
import numpy.typing as npt
import torch

from sugar.datasets.store.store import Store
from sugar.evaluation.embedding_map import FeatureSpace
from sugar.evaluation.score_clips import in_batches
from sugar.models.encoders.build import build_encoder
from sugar.models.heads.alignment import masked_mean
from sugar.models.sugar import Sugar
from sugar.transforms.batches import ClipBatch
from sugar.transforms.views import View, view_joints

STAGE_ONE = "stage 1"


@torch.no_grad()
def feature_spaces(model: Sugar, store: Store, indices: npt.NDArray[np.int64], *, seed: int) -> list[FeatureSpace]:
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

    def embed(batch: ClipBatch) -> dict[str, torch.Tensor]:
        joints, frames = view_joints(batch, model.layout, View(), model.config.frames)
        encoded = {name: encoder(joints, batch.persons, frames) for name, encoder in encoders.items()}
        spaces = {name: masked_mean(*output).float() for name, output in encoded.items()}
        return spaces | {"text space": model.alignment.embed(*encoded[STAGE_ONE]).float()}

    rows = in_batches(model, store, indices, embed)
    return [FeatureSpace(name, what[name], features.numpy()) for name, features in rows]


@torch.no_grad()
def stage_one_features(model: Sugar, store: Store, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """``[N, C]`` the encoder's tokens of whole clips, pooled over time.

    Raises:
        InputError: the store's joints cannot be brought to the model's layout.
    """

    def embed(batch: ClipBatch) -> dict[str, torch.Tensor]:
        joints, frames = view_joints(batch, model.layout, View(), model.config.frames)
        return {STAGE_ONE: masked_mean(*model.encoder(joints, batch.persons, frames))}

    return dict(in_batches(model, store, indices, embed))[STAGE_ONE].double().numpy()
