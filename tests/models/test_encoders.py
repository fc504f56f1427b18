"""All encoders keep one interface: time kept, absent persons and padding without effect."""

from dataclasses import replace

import pytest
import torch

from sugar.models.encoders import CTRGCN, CTRGCNConfig, Encoder, PatchGCN, PatchGCNConfig
from sugar.models.encoders.branched import BranchedEncoder
from sugar.models.encoders.build import BRANCHES, EncoderConfig, build_encoder
from sugar.models.encoders.graph import adjacency_subsets, motion
from sugar.models.encoders.streams import StreamReader
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import KINECT20, NTU25, with_dimension


def ctrgcn(layout: JointLayout) -> Encoder:
    config = CTRGCNConfig(channels=(16, 32, 32), temporal_strides=(1, 2, 2))
    return CTRGCN(layout=layout, config=config)


def patchgcn(layout: JointLayout) -> Encoder:
    return PatchGCN(layout=layout)


def patchgcn_batch_norm(layout: JointLayout) -> Encoder:
    return PatchGCN(layout=layout, config=PatchGCNConfig(norm="batch"))


def patchgcn_body_axes(layout: JointLayout) -> Encoder:
    return PatchGCN(layout=layout, config=PatchGCNConfig(streams=BODY))


def default(layout: JointLayout) -> Encoder:
    return build_encoder(EncoderConfig(), layout)


SEEN = ("posture", "velocity", "limb_velocity")
BODY = ("body_posture", "body_velocity", "body_limb_velocity")
BUILDERS = [ctrgcn, patchgcn, patchgcn_batch_norm, patchgcn_body_axes, default]


def clips(layout: JointLayout, length: int = 24, persons: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, length, persons, layout.num_joints, 3, generator=generator)


PRESENT = torch.tensor([[True, False], [True, True], [False, True]])


@pytest.fixture(params=BUILDERS, ids=lambda build: build.__name__)
def build(request: pytest.FixtureRequest):
    torch.manual_seed(0)
    return request.param


@pytest.mark.parametrize("layout", [KINECT20, NTU25], ids=lambda layout: layout.name)
def test_time_is_kept_and_every_weight_learns(build, layout: JointLayout) -> None:
    encoder = build(layout)
    tokens, mask = encoder(clips(layout), PRESENT)
    assert tokens.shape == (3, mask.shape[1], encoder.out_channels)
    assert 24 // 8 <= mask.shape[1] <= 24
    assert mask.dtype == torch.bool
    assert mask.all()
    (tokens * torch.randn_like(tokens)).sum().backward()
    silent = [name for name, weight in encoder.named_parameters() if weight.grad is None]
    assert silent == []
    moving = [name for name, weight in encoder.named_parameters() if weight.grad is not None and weight.grad.any()]
    assert len(moving) > len(list(encoder.parameters())) // 2


def test_absent_persons_do_not_matter(build) -> None:
    encoder = build(KINECT20).eval()
    joints = clips(KINECT20)
    other = joints.clone()
    other[0, :, 1] = 100.0
    other[2, :, 0] = -100.0
    torch.testing.assert_close(encoder(joints, PRESENT)[0], encoder(other, PRESENT)[0])


def test_absent_persons_reach_no_batch_statistic(build) -> None:
    encoder = build(KINECT20).train()
    joints = clips(KINECT20)
    joints[0, :, 1] = 1e4
    tokens, _ = encoder(joints, PRESENT)
    assert tokens.abs().max() < 1e3
    assert all(buffer.abs().max() < 1e3 for buffer in encoder.buffers())


def test_order_of_persons_does_not_matter(build) -> None:
    encoder = build(KINECT20).eval()
    joints = clips(KINECT20)
    tokens, _ = encoder(joints, PRESENT)
    swapped, _ = encoder(joints.flip(2), PRESENT.flip(1))
    torch.testing.assert_close(tokens, swapped)


def test_a_clip_without_persons_gives_zeros(build) -> None:
    encoder = build(KINECT20).eval()
    nobody = PRESENT.clone()
    nobody[1] = False
    tokens, _ = encoder(clips(KINECT20), nobody)
    assert not tokens[1].any()
    assert tokens.isfinite().all()


@pytest.mark.parametrize("valid", [1, 9, 16])
def test_padding_does_not_change_valid_tokens(build, valid: int) -> None:
    encoder = build(KINECT20).eval()
    joints = clips(KINECT20, length=24)
    frames = torch.arange(24).expand(3, -1) < valid
    alone, _ = encoder(joints[:, :valid], PRESENT)
    padded, mask = encoder(joints, PRESENT, frames)
    assert mask.sum(1).tolist() == [alone.shape[1]] * 3
    torch.testing.assert_close(padded[:, : alone.shape[1]], alone, rtol=1e-4, atol=1e-5)
    assert not padded[:, alone.shape[1] :].any()


def test_a_batch_norm_learns_from_valid_tokens_alone() -> None:
    frames = torch.arange(24).expand(3, -1) < 8
    joints = clips(KINECT20)
    alone, padded = (patchgcn_batch_norm(KINECT20).train() for _ in range(2))
    padded.load_state_dict(alone.state_dict())
    for encoder in (alone, padded):
        for module in encoder.modules():
            if hasattr(module, "probability"):
                module.probability = 0.0
    expected, _ = alone(joints[:, :8], PRESENT)
    tokens, mask = padded(joints, PRESENT, frames)
    torch.testing.assert_close(tokens[:, : expected.shape[1]], expected, rtol=1e-4, atol=1e-5)
    assert not tokens[~mask].any()
    for name, buffer in alone.named_buffers():
        torch.testing.assert_close(padded.get_buffer(name), buffer, rtol=1e-4, atol=1e-5)


def test_a_batch_norm_trains_on_a_single_token() -> None:
    tokens, _ = patchgcn_batch_norm(KINECT20).train()(clips(KINECT20, length=4)[:1, :, :1], PRESENT[:1, :1])
    assert tokens.shape[:2] == (1, 1)
    assert tokens.isfinite().all()


def test_bfloat16_autocast_agrees(build) -> None:
    encoder = build(KINECT20).eval()
    exact, _ = encoder(clips(KINECT20), PRESENT)
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = encoder(clips(KINECT20), PRESENT)
    assert (rough.float() - exact).norm() < 0.05 * exact.norm()


def test_batch_order_does_not_matter(build) -> None:
    encoder = build(KINECT20).eval()
    joints = clips(KINECT20)
    order = torch.tensor([2, 0, 1])
    tokens, _ = encoder(joints, PRESENT)
    again, _ = encoder(joints[order], PRESENT[order])
    torch.testing.assert_close(tokens[order], again)


def test_published_size_of_ctrgcn() -> None:
    parameters = sum(weight.numel() for weight in CTRGCN(layout=NTU25).parameters())
    assert 1.4e6 < parameters < 1.5e6


def test_ctrgcn_needs_a_stride_per_block() -> None:
    with pytest.raises(ValueError, match="same length"):
        CTRGCN(layout=KINECT20, config=CTRGCNConfig(channels=(16,), temporal_strides=(1, 2)))


def test_adjacency_rows_are_normalized() -> None:
    subsets = adjacency_subsets(KINECT20)
    assert subsets.shape == (3, 20, 20)
    sums = subsets.sum(-1)
    assert ((sums == 0) | (sums - 1).abs().lt(1e-6)).all()
    assert int((subsets[1] > 0).sum()) == int((subsets[2] > 0).sum()) == 19


def test_motion_looks_back() -> None:
    joints = clips(KINECT20)[:, :, 0]
    later = joints.clone()
    later[:, 10:] += 1.0
    torch.testing.assert_close(motion(joints)[:, :10], motion(later)[:, :10])


def test_default_has_a_group_of_channels_per_branch() -> None:
    encoder = default(KINECT20)
    assert isinstance(encoder, BranchedEncoder)
    assert encoder.num_branches == len(BRANCHES)
    assert encoder.out_channels == len(BRANCHES) * PatchGCNConfig().channels


def test_a_branch_is_read_and_trained_alone() -> None:
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(), KINECT20).eval()
    assert isinstance(encoder, BranchedEncoder)
    groups = encoder(clips(KINECT20), PRESENT)[0].chunk(encoder.num_branches, dim=-1)
    for branch, group in zip(encoder.branches, groups, strict=True):
        torch.testing.assert_close(branch(clips(KINECT20), PRESENT)[0], group)
    (groups[1] * torch.randn_like(groups[1])).sum().backward()
    first, second, third = encoder.branches
    assert all(weight.grad is None or not weight.grad.any() for weight in [*first.parameters(), *third.parameters()])
    assert any(weight.grad is not None and weight.grad.any() for weight in second.parameters())


def test_branches_must_be_of_one_width() -> None:
    wide = PatchGCN(layout=KINECT20, config=PatchGCNConfig(channels=64))
    with pytest.raises(ValueError, match="same width"):
        BranchedEncoder(branches=[wide, PatchGCN(layout=KINECT20)])
    with pytest.raises(ValueError, match="at least one branch"):
        BranchedEncoder(branches=[])


@pytest.mark.parametrize(
    ("config", "kind"),
    [(EncoderConfig(branches=()), PatchGCN), (EncoderConfig(kind="ctrgcn"), CTRGCN)],
    ids=["one network", "ctrgcn"],
)
def test_build_follows_the_config(config: EncoderConfig, kind: type[Encoder]) -> None:
    encoder = build_encoder(config, KINECT20)
    assert type(encoder) is kind
    assert encoder.num_branches == 1


@pytest.mark.parametrize("streams", [*BRANCHES, BODY], ids="+".join)
def test_where_somebody_stands_does_not_matter(streams) -> None:
    encoder = PatchGCN(layout=KINECT20, config=PatchGCNConfig(streams=streams)).eval()
    joints = clips(KINECT20)
    moved = joints + torch.tensor([1.0, -2.0, 3.0])
    torch.testing.assert_close(encoder(joints, PRESENT)[0], encoder(moved, PRESENT)[0], rtol=1e-3, atol=1e-3)


def test_limb_velocity_leaves_out_the_walk() -> None:
    encoder = PatchGCN(layout=KINECT20, config=PatchGCNConfig(streams=("posture", "limb_velocity"))).eval()
    joints = clips(KINECT20)
    walk = torch.linspace(0, 1, joints.shape[1])[None, :, None, None, None]
    torch.testing.assert_close(encoder(joints, PRESENT)[0], encoder(joints + walk, PRESENT)[0], rtol=1e-3, atol=1e-3)


def turned(joints: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """``[P, T, V, 3]`` with each frame turned about y by its own angle ``[T]``."""
    cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    matrix = torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], dim=-1).view(-1, 3, 3)
    return torch.einsum("tij,ptvj->ptvi", matrix, joints)


def test_body_axes_are_the_same_from_every_side() -> None:
    joints = clips(KINECT20)[:, :, 0]
    other = turned(joints, torch.full((24,), 130.0))
    front, side = (StreamReader(BODY, KINECT20)(view) for view in (joints, other))
    torch.testing.assert_close(front, side, rtol=1e-3, atol=1e-3)
    front, side = (StreamReader(SEEN, KINECT20)(view) for view in (joints, other))
    assert all((a - b).abs().max() > 1 for a, b in zip(front.split(3, -1), side.split(3, -1), strict=True))


def test_body_axes_follow_a_body_that_turns() -> None:
    person = clips(KINECT20)[:, :1, 0].expand(-1, 24, -1, -1)
    pirouette = turned(person, torch.linspace(0, 90, 24))
    still, turning = (StreamReader(BODY, KINECT20)(joints) for joints in (person, pirouette))
    torch.testing.assert_close(still[:, 2:-2, :, :3], turning[:, 2:-2, :, :3], rtol=1e-3, atol=1e-3)
    heights = 4 * (person - person[:, :, KINECT20.root, None])[..., KINECT20.up]
    torch.testing.assert_close(still[..., KINECT20.up], heights)


def test_body_velocity_is_that_of_the_joints_seen_by_the_body() -> None:
    person = clips(KINECT20)[:, :1, 0].expand(-1, 24, -1, -1)
    left, right = (person[:, :, list(side)].mean(dim=2) for side in zip(*KINECT20.trunk_pairs, strict=True))
    sideways = (left - right)[:, 0] * torch.tensor([1.0, 0.0, 1.0])
    sideways = sideways / sideways.norm(dim=-1, keepdim=True)
    steps = torch.arange(24)[None, :, None, None] * sideways[:, None, None]
    velocity, limbs = StreamReader(("body_velocity", "body_limb_velocity"), KINECT20)(person + steps).split(3, dim=-1)
    expected = torch.tensor([40.0, 0.0, 0.0]).expand_as(velocity[:, 1:])
    torch.testing.assert_close(velocity[:, 1:], expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(limbs, torch.zeros_like(limbs), rtol=0, atol=1e-3)


def test_left_is_the_first_body_axis() -> None:
    left, right = (list(side) for side in zip(*KINECT20.trunk_pairs, strict=True))
    posture = StreamReader(("body_posture",), KINECT20)(clips(KINECT20)[:, :1, 0].expand(-1, 5, -1, -1))
    across = (posture[:, :, left] - posture[:, :, right]).mean(dim=2)[:, 2]
    assert (across[:, 0] > 0).all()
    torch.testing.assert_close(across[:, 2], torch.zeros(3), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "layout", [with_dimension(KINECT20, 2), replace(NTU25, name="sideless", pairs=())], ids=lambda layout: layout.name
)
def test_without_axes_of_its_own_a_body_is_seen_as_by_the_sensor(layout: JointLayout) -> None:
    joints = clips(layout)[:, :, 0, :, : layout.dimension]
    own, seen = (StreamReader(names, layout)(joints) for names in (BODY, SEEN))
    torch.testing.assert_close(own, seen)
