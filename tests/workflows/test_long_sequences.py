"""Long sequences: what they are made of, what is trained on them, and the gated carry that they call for."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sugar.datasets.store.store import write_store
from sugar.errors import InputError
from sugar.models.config import ModelConfig
from sugar.models.encoders.build import EncoderConfig, build_encoder
from sugar.models.encoders.patchgcn import PatchGCNConfig
from sugar.models.llm.model import LanguageModel
from sugar.models.llm.weights import LanguageConfig
from sugar.models.projectors.projectors import ProjectorConfig
from sugar.models.projectors.tqp import GatedMemory, TemporalQueryProjection
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import KINECT20
from sugar.transforms.augment import AugmentConfig
from sugar.workflows import long_sequences
from sugar.workflows.long_sequences import (
    LongConfig,
    LongReader,
    SideTokens,
    encode_side,
    recognize,
    train_reader,
)

NAMES = ("sit", "stand", "walk")


def side() -> SideTokens:
    """Six clips of three people in two looks, four tokens each; a token tells its still, look, clip and place."""
    still, look, clip, place = torch.meshgrid(
        torch.arange(2.0), torch.arange(2.0), torch.arange(6.0), torch.arange(4.0), indexing="ij"
    )
    tokens = torch.stack([still, look, clip, place], dim=-1)
    return SideTokens(tokens[0], tokens[1], torch.arange(6) % 3, torch.tensor([1, 1, 2, 2, 3, 3]))


def test_rest_is_one_action_among_stills_of_the_same_person():
    starts = set()
    for seed in range(20):
        sequence = side().draw("rest", torch.tensor([2]), 30, torch.Generator().manual_seed(seed))[0]
        acts = (sequence[:, 0] == 0).nonzero().flatten()
        starts.add(int(acts[0]))
        assert sequence.shape == (30, 4)
        assert acts.tolist() == list(range(int(acts[0]), int(acts[0]) + 4))
        assert sequence[acts, 2].tolist() == [2] * 4
        assert sequence[acts, 3].tolist() == [0, 1, 2, 3]
        assert set(sequence[sequence[:, 0] == 1, 2].tolist()) <= {2, 3}
    assert len(starts) > 5


def test_last_is_many_actions_that_end_with_the_one_asked_for():
    sequence = side().draw("last", torch.tensor([4, 1]), 30, torch.Generator().manual_seed(0))
    assert sequence.shape == (2, 30, 4)
    assert sequence[:, -4:, 2].tolist() == [[4] * 4, [1] * 4]
    assert sequence[:, -4:, 3].tolist() == [[0, 1, 2, 3]] * 2
    assert not sequence[..., 0].any()  # nobody stands still
    assert sequence[0, :, 3].tolist() == [2, 3, *[0, 1, 2, 3] * 7]  # the first clip is cut, the others are whole
    assert len(set(sequence[0, ::4, 2].tolist())) > 2
    with pytest.raises(InputError, match="4 tokens"):
        side().draw("last", torch.tensor([0]), 3, torch.Generator())


def test_sequences_grow_from_one_clip_to_all_steps():
    config = LongConfig(steps=1000, updates=50, alone=0.4, grow=0.4)
    lengths = [config.length(update, 16) for update in range(50)]
    assert lengths[:20] == [16] * 20
    assert lengths[20:40] == sorted(set(lengths[20:40]))
    assert 16 < lengths[20] < lengths[39] < 1000
    assert lengths[40:] == [1000] * 10
    assert [LongConfig(updates=9, alone=0, grow=0).length(update, 16) for update in (0, 8)] == [1000, 1000]
    with pytest.raises(InputError, match="together at most 1"):
        LongConfig(alone=0.5, grow=0.6)
    with pytest.raises(InputError, match="at least 1"):
        LongConfig(updates=0)


def test_a_still_gives_the_same_token_over_and_over_but_for_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    body = rng.normal(size=(1, 1, 20, 3))
    clips = [
        SkeletonClip(
            joints=(body + 0.1 * rng.normal(size=(30, 1, 20, 3)).cumsum(axis=0)).astype(np.float32),
            layout=KINECT20,
            fps=30.0,
            clip_id=f"clip {i}",
            label=NAMES[i % 3],
            subject=i,
        )
        for i in range(4)
    ]
    store = write_store(tmp_path / "store", clips, name="few", classes=NAMES, layout=KINECT20, source="a test")
    torch.manual_seed(0)
    # Tokens of an untrained encoder are of about unit size with layer normalization alone.
    config = ModelConfig(frames=64, encoder=EncoderConfig(patchgcn=PatchGCNConfig(norm="layer")))
    encoder = build_encoder(config.encoder, KINECT20).eval()
    indices = np.array([1, 3])
    found = encode_side(encoder, config, store, indices, looks=2, augmentation=AugmentConfig(), seed=0)
    assert found.actions.shape == found.rests.shape == (2, 2, 16, encoder.out_channels)
    assert found.labels.tolist() == [1, 0]
    assert found.people.tolist() == [1, 3]
    assert not torch.equal(found.actions[0], found.actions[1])
    plain = encode_side(encoder, config, store, indices, looks=2, augmentation=None, seed=0)
    assert torch.equal(plain.actions[0], plain.actions[1])
    assert not torch.equal(plain.rests[0], plain.rests[1])  # a sensor's noise
    monkeypatch.setattr(long_sequences, "REST_JITTER", 0.0)
    calm = encode_side(encoder, config, store, indices, looks=1, augmentation=None, seed=0)
    assert calm.rests.std(dim=2).max() < 1e-5
    assert calm.actions.std(dim=2).mean() > 0.1


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run") / "adapter"
    LanguageModel.load(LanguageConfig(lora_rank=4)).save_adapter(folder)
    return folder


def reader(adapter: Path, **projector) -> LongReader:
    torch.manual_seed(0)
    config = ProjectorConfig(channels=16, num_queries=2, dropout=0.0, **projector)
    return LongReader(projector=config, language=LanguageConfig(lora_rank=4), adapter=adapter, in_channels=4)


def test_training_changes_projector_and_adapters_alone_and_repeats(adapter: Path):
    found = []
    for _ in range(2):
        trained = reader(adapter)
        before = {name: weight.clone() for name, weight in trained.state_dict().items()}
        record = train_reader(
            trained, side(), NAMES, LongConfig(steps=12, updates=2, batch_size=3, alone=0.5, grow=0.0)
        )
        changed = {name for name, weight in trained.state_dict().items() if not torch.equal(weight, before[name])}
        assert any(name.startswith("projector.") for name in changed)
        assert any(".lora_" in name for name in changed)
        assert all(name.startswith("projector.") or ".lora_" in name for name in changed)
        right, _ = recognize(trained, side(), NAMES, "rest", 12, every=2)
        assert right.shape == (3,)
        found.append((record["loss"], right.tolist()))
        assert record["steps"] == 3 * (4 + 12)
    assert found[0] == found[1]


def test_a_thousand_tokens_of_the_linear_layer_do_not_fit(adapter: Path):
    with pytest.raises(InputError, match="exceed the LLM's 1024 positions"):
        recognize(reader(adapter, kind="linear"), side(), NAMES, "last", 1000)


def tqp(carry: str) -> TemporalQueryProjection:
    torch.manual_seed(0)
    projector = ProjectorConfig(channels=16, num_queries=3, dropout=0.0, carry=carry)
    built = projector.build(in_channels=12, out_channels=20).eval()
    assert isinstance(built, TemporalQueryProjection)
    return built


def test_gated_carry_streams_like_the_whole_call_and_hides_padding():
    projector, tokens = tqp("gated"), torch.randn(2, 11, 12)
    mask = torch.ones(2, 11, dtype=torch.bool)
    mask[1, 6:] = False
    state = projector.initial_state(2)
    for start in (0, 4, 8):
        state = projector.step(state, tokens[:, start : start + 4], mask[:, start : start + 4])
    whole = projector(tokens, mask)
    torch.testing.assert_close(projector.project(state), whole)
    torch.testing.assert_close(projector(tokens[1:, :6], mask[1:, :6])[0], whole[1], atol=1e-5, rtol=1e-5)


def test_gated_memory_keeps_its_size_and_the_plain_state_grows():
    tokens, mask = torch.randn(1, 1200, 12), torch.ones(1, 4, dtype=torch.bool)
    grown = {}
    for carry in ("queries", "gated"):
        projector = tqp(carry).requires_grad_(False)
        state, sizes = projector.initial_state(1), []
        for start in range(0, 1200, 4):
            state = projector.step(state, tokens[:, start : start + 4], mask)
            sizes.append(float((state if projector.carried is None else projector.carried.read(state)).norm()))
        grown[carry] = sizes[-1] / sizes[0]
    assert grown["gated"] < 1.5
    assert grown["queries"] > 20


def test_after_one_segment_the_memory_holds_just_what_it_told():
    """So a projector that read single clips reads them the same with the memory."""
    plain, gated = tqp("queries"), tqp("gated")
    assert not gated.load_state_dict(plain.state_dict(), strict=False).unexpected_keys
    tokens, mask = torch.randn(2, 4, 12), torch.ones(2, 4, dtype=torch.bool)
    torch.testing.assert_close(gated(tokens, mask), plain(tokens, mask))


def test_gated_memory_weighs_every_segment_alike_at_first_and_learns_to_leave_some_out():
    memory = GatedMemory(16)
    told = torch.randn(5, 1, 2, 16)

    def mean_of(write: float) -> torch.Tensor:
        state = torch.zeros(1, 2, 32)
        for number, part in enumerate(told):
            with torch.no_grad():
                memory.gates.bias[:16] = write if number == 2 else 0.0
            state = memory.write(state, part)
        return memory.read(state)

    with torch.no_grad():
        memory.gates.bias[16:] = 20.0  # forgets nothing
    torch.testing.assert_close(mean_of(0.0), told.mean(0), atol=1e-5, rtol=1e-5)
    assert (mean_of(50.0) - told[2]).norm() < 0.1 * (told.mean(0) - told[2]).norm()
    with torch.no_grad():
        memory.gates.bias[16:] = -20.0  # forgets everything
    torch.testing.assert_close(mean_of(0.0), told[-1])


def test_default_carry_has_the_weights_that_runs_have():
    assert not any(name.startswith("carried.") for name in tqp("queries").state_dict())
