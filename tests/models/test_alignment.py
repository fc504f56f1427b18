"""Stage 1's contrast: the formula, branches, and where it starts and ends."""

import math
from typing import Literal

import pytest
import torch
import torch.nn.functional as F

from sugar.knowledge.bank import TextBank
from sugar.models.heads.alignment import (
    AlignmentConfig,
    KnowledgeAlignment,
    class_log_probabilities,
    masked_mean,
    mil_nce,
    one_of,
)


def texts(count: int = 6, width: int = 8) -> torch.Tensor:
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(0)) + 1, dim=-1)


def alignment(config: AlignmentConfig | None = None, branches: int = 1) -> KnowledgeAlignment:
    torch.manual_seed(0)
    return KnowledgeAlignment(
        in_channels=12, text_channels=8, num_classes=3, config=config or AlignmentConfig(), num_branches=branches
    )


def test_mil_nce_is_its_formula() -> None:
    logits = torch.randn(4, 6, dtype=torch.float64)
    positive = torch.tensor([[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 1, 0, 0, 0, 0]]).bool()
    expected = 0.0
    for row, mine in zip(logits.tolist(), positive.tolist(), strict=True):
        numerator = sum(math.exp(v) for v, p in zip(row, mine, strict=True) if p)
        expected -= math.log(numerator / sum(math.exp(v) for v in row)) / 4
    assert mil_nce(logits, positive).item() == pytest.approx(expected)
    assert mil_nce(logits, torch.ones_like(positive)).item() == pytest.approx(0)
    with pytest.raises(ValueError, match="positive"):
        mil_nce(logits, torch.zeros_like(positive))


def test_masked_steps_do_not_count() -> None:
    tokens, mask = torch.randn(2, 5, 12), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    noisy = tokens.clone()
    noisy[0, 3:] = 100
    torch.testing.assert_close(masked_mean(tokens, mask), masked_mean(noisy, mask))
    torch.testing.assert_close(masked_mean(tokens, mask)[0], tokens[0, :3].mean(dim=0))


@pytest.mark.parametrize("branches", [1, 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_training_brings_a_clip_to_its_texts(branches: int, smoothing: float) -> None:
    config = AlignmentConfig(label_smoothing=smoothing, cross_entropy=0.1)
    head = alignment(config, branches)
    tokens, mask = torch.randn(6, 5, 12), torch.ones(6, 5, dtype=torch.bool)
    labels, classes = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0, 0, 1, 1, 2, 2])
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    first = head(tokens, mask, labels, texts(), classes)[0].item()
    for _ in range(100):
        loss, logs = head(tokens, mask, labels, texts(), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * first
    assert {"contrast", "temperature", "cross_entropy"} == set(logs)
    embedding = head.embed(tokens, mask)
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(6))
    scores = class_log_probabilities(embedding @ texts().T, classes, 3, head.temperature)
    assert scores.argmax(dim=1).tolist() == labels.tolist()
    torch.testing.assert_close(scores.exp().sum(dim=1), torch.ones(6))


def test_branches_that_find_a_class_by_different_texts_agree() -> None:
    head = KnowledgeAlignment(in_channels=4, text_channels=2, num_classes=2, config=AlignmentConfig(), num_branches=2)
    for projection in head.projections:
        torch.nn.init.eye_(projection.weight)
        torch.nn.init.zeros_(projection.bias)
    # One branch is near the first text of class 0, the other near its second; their mean is the text of class 1.
    tokens, mask = torch.tensor([[[1.0, 0.0, 0.0, 1.0]]]), torch.ones(1, 1, dtype=torch.bool)
    embeddings = F.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), dim=-1)
    bank = TextBank(
        embeddings, torch.tensor([0, 0, 1]), ("motion", "visual", "motion"), ("a", "b", "c"), ("0", "1"), "e", "f"
    )
    assert (head.embed(tokens, mask) @ embeddings.T).argmax() == 2
    scores = head.log_probabilities(tokens, mask, bank)
    assert scores.argmax() == 0
    torch.testing.assert_close(scores.exp().sum(), torch.tensor(1.0))
    # By hand: each branch's posterior; both are the same here, so their geometric mean is either.
    near, other = torch.tensor(1 / 0.07), torch.tensor(0.5**0.5 / 0.07)
    of_class = torch.stack([torch.logaddexp(near, torch.tensor(0.0)) - math.log(2), other])
    torch.testing.assert_close(scores[0], of_class.log_softmax(0))


def test_the_temperature_has_a_floor() -> None:
    head = alignment()
    assert head.temperature.item() == pytest.approx(0.07)
    head.log_temperature.data.fill_(-20)
    assert head.temperature.item() == pytest.approx(0.01)


def test_a_class_with_more_texts_is_not_favored() -> None:
    similarity = torch.zeros(1, 5)
    scores = class_log_probabilities(similarity, torch.tensor([0, 0, 0, 0, 1]), 2, torch.tensor(0.1))
    torch.testing.assert_close(scores.exp(), torch.full((1, 2), 0.5))
    with pytest.raises(ValueError, match="no text"):
        class_log_probabilities(similarity, torch.tensor([0, 0, 0, 0, 2]), 3, torch.tensor(0.1))


def test_one_positive_is_drawn_and_the_others_of_its_class_count_for_nothing() -> None:
    torch.manual_seed(0)
    head = KnowledgeAlignment(in_channels=4, text_channels=6, num_classes=2, config=AlignmentConfig(positives="one"))
    tokens, mask, labels = torch.randn(3, 5, 4), torch.ones(3, 5, dtype=torch.bool), torch.tensor([0, 1, 0])
    texts, classes = torch.nn.functional.normalize(torch.randn(6, 6), dim=1), torch.tensor([0, 0, 0, 1, 1, 1])
    losses = set()
    for seed in range(8):
        loss, _ = head(tokens, mask, labels, texts, classes, torch.Generator().manual_seed(seed))
        again, _ = head(tokens, mask, labels, texts, classes, torch.Generator().manual_seed(seed))
        assert torch.equal(loss, again)
        losses.add(round(float(loss.detach()), 5))
    assert len(losses) > 2
    positive = labels[:, None] == classes[None]
    one = one_of(positive, torch.Generator().manual_seed(1))
    assert (one.sum(dim=1) == 1).all()
    assert (one <= positive).all()
    # By hand: of its own class only the drawn text, of the other class all.
    logits = head.embed(tokens, mask) @ texts.T / head.temperature
    kept = logits.masked_fill(positive & ~one, -torch.inf)
    expected = -(kept.log_softmax(dim=1)[one]).mean()
    found, _ = head(tokens, mask, labels, texts, classes, torch.Generator().manual_seed(1))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_texts_of_classes_on_other_lists_count_for_nothing(smoothing: float) -> None:
    torch.manual_seed(0)
    head = alignment(AlignmentConfig(label_smoothing=smoothing), 3)
    tokens, mask = torch.randn(4, 5, 12), torch.ones(4, 5, dtype=torch.bool)
    labels, classes = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 0, 1, 1, 2, 2])
    class_groups = torch.block_diag(torch.ones(2, 2), torch.ones(1, 1)).bool()
    loss, _ = head(tokens, mask, labels, texts(), classes, class_groups=class_groups)
    alone, _ = head(tokens, mask, labels, texts()[:4], classes[:4])
    torch.testing.assert_close(loss, alone)
    assert not torch.isclose(loss, head(tokens, mask, labels, texts(), classes)[0])
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("negatives", ["batch", "bank"])
def test_mixed_precision_keeps_the_gradient_of_texts_that_are_near_each_other(
    negatives: Literal["batch", "bank"],
) -> None:
    """Products in bfloat16 would be 30 % off here."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(1, 8, generator=generator)
    near = F.normalize(common + 0.1 * torch.randn(6, 8, generator=generator), dim=-1)
    head = alignment(AlignmentConfig(negatives=negatives, label_smoothing=0.1))
    labels, classes = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0, 0, 1, 1, 2, 2])
    pooled = torch.randn(6, 1, 12, generator=generator).bfloat16()
    gradients = []
    for mixed in (False, True):
        tokens = pooled.float().requires_grad_()
        # The projection is the same in both, so that only what comes after it differs.
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=False):
            vectors = head.branch_embeddings(tokens[:, 0]).detach().requires_grad_()
        head.branch_embeddings = lambda _, vectors=vectors: vectors  # type: ignore[method-assign]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            loss, _ = head(tokens, torch.ones(6, 1, dtype=torch.bool), labels, near, classes)
        assert loss.dtype == torch.float32
        loss.backward()
        del head.branch_embeddings
        assert vectors.grad is not None
        gradients.append(vectors.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-7)
