"""Which encoder a model has."""

from dataclasses import dataclass, field
from typing import Literal

from sugar.models.encoders.base import Encoder
from sugar.models.encoders.ctrgcn import CTRGCN, CTRGCNConfig
from sugar.models.encoders.patchgcn import PatchGCN, PatchGCNConfig
from sugar.skeleton.layout import JointLayout


@dataclass
class EncoderConfig:
    """The skeleton encoder."""

    kind: Literal["patchgcn", "ctrgcn"] = "patchgcn"
    """patchgcn (ours, fast) or ctrgcn (the paper's)."""
    patchgcn: PatchGCNConfig = field(default_factory=PatchGCNConfig)
    """Settings of patchgcn."""
    ctrgcn: CTRGCNConfig = field(default_factory=CTRGCNConfig)
    """Settings of ctrgcn."""


def build_encoder(config: EncoderConfig, layout: JointLayout) -> Encoder:
    """The encoder that ``config`` names, with fresh weights."""
    if config.kind == "ctrgcn":
        return CTRGCN(layout=layout, config=config.ctrgcn)
    return PatchGCN(layout=layout, config=config.patchgcn)
