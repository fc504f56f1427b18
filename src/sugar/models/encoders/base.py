"""The interface that every skeleton encoder keeps."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Joints in, a sequence of tokens out; joints and persons are pooled, time is kept.

    A subclass encodes one person at a time (`encode`); this class picks the persons that are present, so that an
    absent one costs nothing and reaches neither the result nor any batch statistic, and averages those present.
    """

    out_channels: int
    num_branches: int = 1
    """The channels are so many equal groups, each of a branch that is trained on its own (`BranchedEncoder`)."""

    def forward(self, joints: Tensor, persons: Tensor, frames: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode a batch of clips.

        Args:
            joints: `[B, T, M, V, C]`, padded frames and absent persons hold anything finite.
            persons: bool `[B, M]`, which persons are present.
            frames: bool `[B, T]`, valid frames first and padding after; None when every frame is valid.

        Returns:
            tokens `[B, L, d]` and their mask, bool `[B, L]`. A clip without any person gives zeros.
        """
        batch = joints.shape[0]
        if frames is not None and bool(frames.all()):
            frames = None  # nothing is padded: masks would only cost time
        clip_of_person = torch.arange(batch, device=joints.device)[:, None].expand_as(persons)[persons]
        each = joints.transpose(1, 2)[persons]
        each_frames = None if frames is None else frames[clip_of_person]
        encoded = self.encode(each, each_frames)
        length = encoded.shape[1]
        if persons.shape[1] == 1 and len(clip_of_person) == batch:
            tokens = encoded
        else:
            total = encoded.new_zeros(batch, length, encoded.shape[2])
            total = total.index_add(0, clip_of_person, encoded)
            tokens = total / persons.sum(1).clamp(min=1)[:, None, None].to(total.dtype)
        if frames is None:
            return tokens, torch.ones(batch, length, dtype=torch.bool, device=joints.device)
        mask = self.token_mask(frames)
        return tokens * mask[..., None].to(tokens.dtype), mask

    @abstractmethod
    def encode(self, joints: Tensor, frames: Tensor | None) -> Tensor:
        """Encode single persons: joints `[P, T, V, C]`, frames bool `[P, T]` or None, to `[P, L, d]`."""

    @abstractmethod
    def token_mask(self, frames: Tensor) -> Tensor:
        """Which tokens hold at least one valid frame: bool `[B, T]` to bool `[B, L]`."""
