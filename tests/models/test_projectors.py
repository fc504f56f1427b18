"""The paper's other projectors: shapes, masks, and what makes each what it is."""

import pytest
import torch

from sugar.models.projectors.projectors import (
    CrossAttentionProjector,
    LinearProjector,
    ProjectorConfig,
    QFormerProjector,
)
from sugar.models.projectors.tqp import QFormerLayer, TemporalQueryProjection

KINDS = {
    "tqp": TemporalQueryProjection,
    "linear": LinearProjector,
    "qformer": QFormerProjector,
    "cross_attention": CrossAttentionProjector,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_projector_maps_tokens_to_the_llm_and_hides_padding(kind):
    torch.manual_seed(0)
    projector = ProjectorConfig(kind=kind, channels=16, num_queries=3, segment_length=4).build(
        in_channels=12, out_channels=20
    )
    assert type(projector) is KINDS[kind]
    projector.eval()
    tokens = torch.randn(2, 10, 12)
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[1, 7:] = False
    out = projector(tokens, mask)
    kept = projector.output_mask(mask)
    assert out.shape == (2, 10 if kind == "linear" else 3, 20)
    assert kept.shape == out.shape[:2]
    assert kept.dtype == torch.bool
    other = tokens.clone()
    other[1, 7:] = 99.0
    torch.testing.assert_close(projector(other, mask), out)
    alone = projector(tokens[1:, :7], mask[1:, :7])
    torch.testing.assert_close(alone[0], out[1][kept[1]], atol=1e-5, rtol=1e-5)
    out.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in projector.parameters())


def test_cross_attention_has_no_q_former_layer():
    projector = ProjectorConfig(kind="cross_attention").build(in_channels=4, out_channels=4)
    assert not any(isinstance(module, QFormerLayer) for module in projector.modules())


def test_q_former_is_tqp_with_one_segment():
    """Same layers, same weights: only the cutting into segments differs."""
    torch.manual_seed(0)
    config = ProjectorConfig(channels=16, num_queries=3, segment_length=10)
    tqp = config.build(in_channels=12, out_channels=20).eval()
    config.kind = "qformer"
    qformer = config.build(in_channels=12, out_channels=20).eval()
    qformer.load_state_dict(tqp.state_dict())
    tokens, mask = torch.randn(2, 10, 12), torch.ones(2, 10, dtype=torch.bool)
    torch.testing.assert_close(qformer(tokens, mask), tqp(tokens, mask))
