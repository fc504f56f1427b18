"""The motion head, the motion score, own sentences, and the check of what a description claims."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from sugar.datasets.batches import ClipBatch
from sugar.datasets.synthetic import generate
from sugar.knowledge.bank import Kind, TextBank
from sugar.knowledge.faithfulness import CheckedClaim, check_claims, faithfulness
from sugar.knowledge.grammar import parse, say
from sugar.knowledge.kinematics import measure
from sugar.knowledge.own_sentences import OwnSentences, build_own_sentences, own_text
from sugar.models.alignment import AlignmentConfig
from sugar.models.motion import (
    MotionConfig,
    MotionHead,
    MotionReference,
    class_similarity,
    motion_log_probabilities,
)
from sugar.training.represent import MotionTask


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def head() -> MotionHead:
    torch.manual_seed(0)
    return MotionHead(in_channels=8, text_channels=16, num_classes=3, config=AlignmentConfig())


class FakeEncoder:
    name, fingerprint = "fake", "0"

    def encode(self, texts: list[str]) -> torch.Tensor:
        return torch.stack([unit(16, seed=sum(map(ord, text)))[None][0] for text in texts])


def test_equal_own_sentences_share_the_target() -> None:
    tokens, mask = torch.randn(4, 5, 8), torch.ones(4, 5, dtype=torch.bool)
    own = unit(2, 16)[[0, 0, 1, 1]]
    loss = head().own_contrast(tokens, mask, own, 0.01)
    # With two pairs of equal sentences the least possible loss is the entropy of "one of two".
    assert float(loss.detach()) > np.log(2)
    perfect = head()
    with torch.no_grad():
        perfect.log_temperature.fill_(np.log(0.01))
        wanted = torch.linalg.lstsq(tokens[:, 0], own).solution
        perfect.projections[0].weight.copy_(wanted.T)  # type: ignore[arg-type, union-attr]
        perfect.projections[0].bias.zero_()  # type: ignore[union-attr]
    still = tokens[:, :1].expand(-1, 5, -1)
    assert float(perfect.own_contrast(still, mask, own, 0.01).detach()) == pytest.approx(np.log(2), abs=1e-3)


def test_a_class_is_as_near_as_its_nearest_sentence() -> None:
    sentences = torch.eye(4)
    clips = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    found = class_similarity(clips, sentences, torch.tensor([0, 0, 1, 1]), 2)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


def bank_of(embeddings: torch.Tensor, classes: list[int]) -> TextBank:
    names = tuple(f"class {k}" for k in sorted(set(classes)))
    texts = tuple(f"text {i}" for i in range(len(classes)))
    kinds: tuple[Kind, ...] = ("motion_sentence",) * len(classes)
    return TextBank(embeddings, torch.tensor(classes), kinds, texts, names, "fake", "0")


def test_a_sentence_near_to_everything_gains_nothing() -> None:
    common, special = unit(16, seed=1), unit(16, seed=2)
    clips = normalize(unit(50, 16, seed=3) * 0.3 + common, dim=-1)
    reference = MotionReference(clips, clips, torch.zeros(0))
    query = normalize(common + 0.5 * special, dim=-1)[None]
    bank = bank_of(torch.stack([common, special]), [0, 1])
    assert int(class_similarity(query, bank.embeddings, bank.classes, 2).argmax()) == 0
    found = motion_log_probabilities(query, query, bank, reference, None)
    assert int(found.argmax()) == 1
    assert float(found.exp().sum()) == pytest.approx(1)
    alone = motion_log_probabilities(query, None, bank, reference, None)
    assert float(alone[0, 1] - alone[0, 0]) == pytest.approx(float(found[0, 1] - found[0, 0]) / 2, rel=1e-4)
    # Trained classes: the head's posterior.
    trained = motion_log_probabilities(query, query, bank, reference, torch.tensor(0.1))
    torch.testing.assert_close(trained, (query @ bank.embeddings.T / 0.1).log_softmax(1))


def test_own_sentences_follow_the_mirror() -> None:
    own = OwnSentences(
        texts=("left", "right", "LEFT", "RIGHT"),
        embeddings=torch.eye(4),
        rows=torch.tensor([[[0, 2], [1, 3]], [[1, 3], [0, 2]]]),
        truth=torch.tensor([[[1, 0], [0, 1]], [[0, -1], [-1, 0]]], dtype=torch.int8),
        positions={7: 0, 9: 1},
    )
    seen = set()
    for seed in range(20):
        drawn = own.draw(
            torch.tensor([7, 7, 9]), torch.tensor([False, True, False]), torch.Generator().manual_seed(seed)
        )
        texts = [own.texts[i] for i in drawn]
        assert [text.lower() for text in texts] == ["left", "right", "right"]
        seen |= set(texts)
    assert seen == {"left", "LEFT", "right", "RIGHT"}
    assert own.claims(torch.tensor([9, 7]), torch.tensor([True, False])).tolist() == [[-1, 0], [1, 0]]
    torch.testing.assert_close(own.plain([9, 7]), torch.eye(4)[[1, 0]])


def test_own_sentences_of_real_clips() -> None:
    clips = list(generate(2, 0, ["wave with one hand", "squat"]))
    own = build_own_sentences(enumerate(clips), FakeEncoder(), variants=2)  # type: ignore[arg-type]
    assert own.rows.shape == (4, 2, 2)
    for position, clip in enumerate(clips):
        plain, mirrored = (own.texts[own.rows[position, side, 0]] for side in (0, 1))
        facts = measure(clip)
        assert plain == own_text(facts)
        assert all(claim.holds for claim in check_claims(plain, facts))
        assert set(parse(mirrored)) == {claim.mirrored() for claim in parse(plain)}
    again = build_own_sentences(enumerate(clips), FakeEncoder(), variants=2)  # type: ignore[arg-type]
    assert again.texts == own.texts


def test_the_motion_task_trains_the_head() -> None:
    clips = list(generate(2, 0, ["squat", "jump", "bow"]))
    own = build_own_sentences(enumerate(clips), FakeEncoder(), variants=2)  # type: ignore[arg-type]
    bank = bank_of(unit(3, 16), [0, 1, 2])
    task = MotionTask(head=head(), bank=bank, own=own, config=MotionConfig())
    batch = ClipBatch(
        joints=torch.zeros(6, 4, 1, 25, 3),
        lengths=torch.full((6,), 4),
        persons=torch.ones(6, 1, dtype=torch.bool),
        labels=torch.arange(3).repeat_interleave(2),
        indices=torch.arange(6),
    )
    tokens, mask = torch.randn(6, 4, 8), torch.ones(6, 4, dtype=torch.bool)
    mirrored = torch.zeros(6, dtype=torch.bool)
    optimiser = torch.optim.Adam(task.parameters(), 0.01)
    losses = []
    for step in range(30):
        loss, logs = task(tokens, mask, batch, mirrored, torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert set(logs) == {"motion", "own", "claims"}
    assert losses[-1] < 0.7 * losses[0]


def test_claims_of_a_description_are_checked() -> None:
    clip = next(iter(generate(1, 0, ["squat"])))
    facts = measure(clip)
    true = say(facts.claims())[0]
    claims = check_claims(f"A person trains the legs. {true} The person lies down.", facts)
    assert [claim.holds for claim in claims][-1] is False
    assert all(claim.holds for claim in claims[:-1])
    assert faithfulness(claims) == pytest.approx((len(claims) - 1) / len(claims))
    assert check_claims("Somebody exercises at home.", facts) == []
    assert faithfulness([CheckedClaim("x", None)]) is None
