"""Skeleton encoders: joints in, a sequence of tokens out, time kept."""

from sugar.models.encoders.base import Encoder
from sugar.models.encoders.ctrgcn import CTRGCN, CTRGCNConfig
from sugar.models.encoders.patchgcn import PatchGCN, PatchGCNConfig

__all__ = ["CTRGCN", "CTRGCNConfig", "Encoder", "PatchGCN", "PatchGCNConfig"]
