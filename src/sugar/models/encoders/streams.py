"""What an encoder reads of the joints: postures and velocities, as the sensor sees them or as the body does."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sugar.models.encoders.graph import motion
from sugar.skeleton.layout import JointLayout

Stream = Literal["posture", "velocity", "limb_velocity", "body_posture", "body_velocity", "body_limb_velocity"]

HEADING_FRAMES = 5
"""Frames over which the body's heading is averaged, so that one bad frame does not turn everything."""


class StreamReader:
    """Streams side by side, each of about unit size when a body's bones add up to a length of 1.

    `posture` is relative to the root and `limb_velocity` its change; `velocity` is that of the joints themselves.
    `body_posture`, `body_limb_velocity` and `body_velocity` are the same in axes that turn about the vertical with
    shoulders and hips, frame by frame: they do not depend on the side that a body is seen from. 2-D joints have no
    such axes, and there both are one. Where somebody stands is in none of them.
    """

    def __init__(self, names: Sequence[Stream], layout: JointLayout) -> None:
        self.names = tuple(names)
        self.root, self.level = layout.root, layout.level_axes
        self.left = [left for left, _ in layout.trunk_pairs]
        self.right = [right for _, right in layout.trunk_pairs]
        self.turns = len(self.level) == 2 and bool(self.left) and any(name.startswith("body_") for name in names)
        self.channels = len(names) * layout.dimension

    def __call__(self, joints: Tensor) -> Tensor:
        """`[P, T, V, C]` to `[P, T, V, S C]`; padded frames must be zero."""
        posture, velocity = joints - joints[:, :, self.root, None], motion(joints)
        turn = self._into_body_axes(posture) if self.turns else lambda vectors: vectors
        body_posture = turn(posture)
        streams = {
            "posture": lambda: 4.0 * posture,
            "velocity": lambda: 40.0 * velocity,
            "limb_velocity": lambda: 40.0 * motion(posture),
            "body_posture": lambda: 4.0 * body_posture,
            "body_velocity": lambda: 40.0 * turn(velocity),
            "body_limb_velocity": lambda: 40.0 * motion(body_posture),
        }
        return torch.cat([streams[name]() for name in self.names], dim=-1)

    def _into_body_axes(self, posture: Tensor) -> Callable[[Tensor], Tensor]:
        """What turns each frame about the vertical until the line from right to left is the first level axis."""
        across = (posture[:, :, self.left] - posture[:, :, self.right]).mean(dim=2)[..., self.level].float()
        # Only the direction counts, so frames of zeros beside a window do it no harm.
        smooth = F.avg_pool1d(across.transpose(1, 2), HEADING_FRAMES, stride=1, padding=HEADING_FRAMES // 2)
        cos, sin = F.normalize(smooth, dim=1, eps=1e-4)[..., None].unbind(dim=1)

        def turn(vectors: Tensor) -> Tensor:
            axes = list(vectors.unbind(dim=-1))
            first, second = (axes[axis] for axis in self.level)
            axes[self.level[0]], axes[self.level[1]] = cos * first + sin * second, cos * second - sin * first
            return torch.stack(axes, dim=-1)

        return turn
