"""Temporal Query Projection: the recurrence, its masks and its memory."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sugar.models.projectors.tqp import TemporalQueryProjection, sinusoidal_positions


def make_tqp(**changes) -> TemporalQueryProjection:
    torch.manual_seed(0)
    settings = {
        "in_channels": 12,
        "channels": 16,
        "num_queries": 3,
        "num_layers": 2,
        "num_heads": 4,
        "segment_length": 4,
        "out_channels": 20,
        "dropout": 0.0,
    }
    return TemporalQueryProjection(**(settings | changes)).eval()


class PeakMemory(TorchDispatchMode):
    """Peak bytes of the tensors made inside and alive at one time: exact, unlike resident memory."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, int] = {}
        self.now = 0
        self.peak = 0

    def forget(self, key: int) -> None:
        self.now -= self.live.pop(key)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.live:
                    self.live[storage._cdata] = storage.nbytes()
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self.forget, storage._cdata)
        self.peak = max(self.peak, self.now)
        return made


def test_forward_is_the_loop_over_steps():
    tqp, tokens = make_tqp(), torch.randn(2, 11, 12)
    mask = torch.ones(2, 11, dtype=torch.bool)
    mask[1, 6:] = False
    state = tqp.initial_state(2)
    for start in (0, 4, 8):
        state = tqp.step(state, tokens[:, start : start + 4], mask[:, start : start + 4])
    torch.testing.assert_close(tqp.project(state), tqp(tokens, mask), atol=1e-6, rtol=0)
    assert tqp(tokens, mask).shape == (2, 3, 20)


def test_short_samples_in_a_batch_are_as_if_alone():
    """Padding never shows: neither the rest of a short segment nor whole segments after a sample's end."""
    tqp, tokens = make_tqp(), torch.randn(3, 12, 12)
    lengths = (12, 5, 2)
    mask = torch.arange(12)[None] < torch.tensor(lengths)[:, None]
    together = tqp(tokens, mask)
    for row, length in enumerate(lengths):
        alone = tqp(tokens[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=1e-5)


def test_masked_segment_keeps_the_state_bit_for_bit_and_gradients_finite():
    tqp, segment = make_tqp(), torch.randn(2, 4, 12)
    mask = torch.tensor([[True] * 4, [False] * 4])
    state = tqp.step(tqp.initial_state(2), torch.randn(2, 4, 12), torch.ones(2, 4, dtype=torch.bool))
    after = tqp.step(state, segment, mask)
    assert torch.equal(after[1], state[1])
    assert not torch.allclose(after[0], state[0])
    tqp.project(after).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in tqp.parameters())


def test_last_short_segment_counts():
    tqp, tokens = make_tqp(), torch.randn(1, 9, 12)
    mask = torch.ones(1, 9, dtype=torch.bool)
    assert not torch.allclose(tqp(tokens, mask), tqp(tokens[:, :8], mask[:, :8]))


@pytest.mark.parametrize("order", [[1, 0, 2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 0, 1, 2, 3]])
def test_order_shows_within_and_across_segments(order: list[int]):
    tqp, tokens = make_tqp(), torch.randn(1, 8, 12)
    mask = torch.ones(1, 8, dtype=torch.bool)
    assert (tqp(tokens, mask) - tqp(tokens[:, order], mask)).abs().max() > 1e-2


def test_4000_steps_in_constant_memory():
    """4,000 segments streamed: equal to the whole call, and no more memory at the peak than 4."""
    tqp = make_tqp(num_layers=1, segment_length=2)
    stream = torch.randn(1, 8_000, 12)
    mask = torch.ones(1, 8_000, dtype=torch.bool)

    def run(length: int) -> tuple[torch.Tensor, int]:
        part, kept = stream[:, :length].clone(), mask[:, :length].clone()
        with PeakMemory() as memory:
            out = tqp(part, kept)
        return out, memory.peak - part.nbytes - kept.nbytes  # segments are views of the input

    assert run(400)[1] > 20 * run(8)[1]  # the measure sees what training keeps
    with torch.no_grad():
        _, of_four = run(8)
        whole, of_all = run(8_000)
        assert of_all == of_four
        state = tqp.initial_state(1)
        for start in range(0, 8_000, 2):
            state = tqp.step(state, stream[:, start : start + 2], mask[:, start : start + 2])
        streamed = tqp.project(state)
    assert whole.isfinite().all()
    torch.testing.assert_close(streamed, whole, atol=1e-6, rtol=0)


def test_wrong_sizes_are_refused():
    tqp = make_tqp()
    with pytest.raises(ValueError, match="1 to 4 tokens"):
        tqp.step(tqp.initial_state(1), torch.randn(1, 5, 12), torch.ones(1, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match="multiple of num_heads"):
        make_tqp(num_heads=5)
    with pytest.raises(ValueError, match="at least 1"):
        make_tqp(num_queries=0)


def test_sinusoidal_positions_have_odd_widths_too():
    table = sinusoidal_positions(3, 5)
    assert table.shape == (3, 5)
    assert table[0].tolist() == [0, 1, 0, 1, 0]
