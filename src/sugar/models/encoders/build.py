"""Which encoder a model has."""

from dataclasses import dataclass, field, replace
from typing import Literal

from sugar.errors import InputError
from sugar.models.encoders.base import Encoder
from sugar.models.encoders.branched import BranchedEncoder
from sugar.models.encoders.ctrgcn import CTRGCN, CTRGCNConfig
from sugar.models.encoders.patchgcn import PatchGCN, PatchGCNConfig
from sugar.models.encoders.streams import Stream
from sugar.skeleton.layout import JointLayout

BRANCHES: tuple[tuple[Stream, ...], ...] = (
    ("posture", "velocity"),
    ("posture", "limb_velocity"),
    ("velocity",),
)
"""Chosen on the training views of NW-UCLA: trained on one, validated on the other."""


@dataclass
class EncoderConfig:
    """The skeleton encoder."""

    kind: Literal["patchgcn", "ctrgcn"] = "patchgcn"
    """patchgcn (ours, fast) or ctrgcn (the paper's)."""
    patchgcn: PatchGCNConfig = field(default_factory=PatchGCNConfig)
    """Settings of patchgcn."""
    branches: tuple[tuple[Stream, ...], ...] = BRANCHES
    """patchgcn: the streams that each of its branches reads; empty: one network on `patchgcn.streams`."""
    ctrgcn: CTRGCNConfig = field(default_factory=CTRGCNConfig)
    """Settings of ctrgcn."""

    def __post_init__(self) -> None:
        if not all(self.branches):
            raise InputError("encoder.branches has one without streams: name them, such as [posture, velocity]")


def build_encoder(config: EncoderConfig, layout: JointLayout) -> Encoder:
    """The encoder that ``config`` names, with fresh weights."""
    if config.kind == "ctrgcn":
        return CTRGCN(layout=layout, config=config.ctrgcn)
    if not config.branches:
        return PatchGCN(layout=layout, config=config.patchgcn)
    settings = [replace(config.patchgcn, streams=streams) for streams in config.branches]
    return BranchedEncoder(branches=[PatchGCN(layout=layout, config=one) for one in settings])
