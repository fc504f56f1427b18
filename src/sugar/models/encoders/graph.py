"""What an encoder derives from joints: adjacency subsets of their layout, and motion."""

import torch
from torch import Tensor

from sugar.skeleton.layout import JointLayout


def adjacency_subsets(layout: JointLayout) -> Tensor:
    """Three normalized adjacency matrices `[3, V, V]`: self, towards the root, away from the root.

    The spatial partition of ST-GCN (arXiv 1801.07455, section 3.3): entry `[k, i, j]` weighs what joint `i`
    takes from joint `j`; every row that has neighbors sums to one.
    """
    num_joints = layout.num_joints
    inward = torch.zeros(num_joints, num_joints)
    for child, parent in layout.bones:
        inward[parent, child] = 1.0
    subsets = torch.stack([torch.eye(num_joints), inward, inward.T])
    return subsets / subsets.sum(-1, keepdim=True).clamp(min=1.0)


def motion(joints: Tensor) -> Tensor:
    """Difference to the frame before, `[N, T, V, C]` to `[N, T, V, C]`; zero at the first frame.

    It looks back only, so padding after the last valid frame never reaches a valid one.
    """
    return torch.cat([torch.zeros_like(joints[:, :1]), joints[:, 1:] - joints[:, :-1]], dim=1)
