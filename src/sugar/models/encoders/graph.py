"""What an encoder derives from a joint layout: adjacency subsets, bones, motion."""

import torch
from torch import Tensor

from sugar.skeleton.layout import JointLayout


def adjacency_subsets(layout: JointLayout) -> Tensor:
    """Three normalised adjacency matrices `[3, V, V]`: self, towards the root, away from the root.

    The spatial partition of ST-GCN (arXiv 1801.07455, section 3.3): entry `[k, i, j]` weighs what joint `i`
    takes from joint `j`; every row that has neighbours sums to one.
    """
    num_joints = layout.num_joints
    inward = torch.zeros(num_joints, num_joints)
    for child, parent in layout.bones:
        inward[parent, child] = 1.0
    subsets = torch.stack([torch.eye(num_joints), inward, inward.T])
    return subsets / subsets.sum(-1, keepdim=True).clamp(min=1.0)


def parent_indices(layout: JointLayout) -> Tensor:
    """The parent of every joint as int64 `[V]`; the root is its own parent."""
    return torch.tensor(layout.parents, dtype=torch.long)


def bone_vectors(joints: Tensor, parents: Tensor) -> Tensor:
    """Joint minus its parent, `[..., V, C]` to `[..., V, C]`; zero at the root."""
    return joints - joints.index_select(-2, parents)


def motion(joints: Tensor) -> Tensor:
    """Difference to the frame before, `[N, T, V, C]` to `[N, T, V, C]`; zero at the first frame.

    It looks back only, so padding after the last valid frame never reaches a valid one.
    """
    return torch.cat([torch.zeros_like(joints[:, :1]), joints[:, 1:] - joints[:, :-1]], dim=1)
