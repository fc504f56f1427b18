"""The motion head, the motion score, fact captions, and the check of what a description claims."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from sugar.datasets.synthetic import generate
from sugar.facts.description_check import CheckedClaim, check_claims, faithfulness
from sugar.facts.grammar import parse, say
from sugar.facts.measure import measure
from sugar.knowledge.bank import Kind, TextBank
from sugar.knowledge.claim_space import claim_space, stated
from sugar.knowledge.fact_captions import FactCaptions, build_fact_captions, fact_caption, measure_clips
from sugar.models.heads.alignment import AlignmentConfig
from sugar.models.heads.claim_matching import ClaimReference, fit_claims
from sugar.models.heads.motion import MotionConfig, MotionHead, MotionReference, UnseenMotion
from sugar.models.scorers.calibrated_stacking import constant_of, lead
from sugar.training.stages.alignment import MotionLoss
from sugar.transforms.batches import ClipBatch

NEW = torch.zeros(2, dtype=torch.bool)
TRAINED = ("one", "two")  # names of trained classes, none a candidate
"""None of two classes was trained."""


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def head() -> MotionHead:
    torch.manual_seed(0)
    return MotionHead(in_channels=8, text_channels=16, num_classes=3, config=AlignmentConfig())


class FakeEncoder:
    name, fingerprint = "fake", "0"

    def encode(self, texts: list[str]) -> torch.Tensor:
        return torch.stack([unit(16, seed=sum(map(ord, text)))[None][0] for text in texts])


def test_equal_fact_captions_share_the_target() -> None:
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


def bank_of(embeddings: torch.Tensor, classes: list[int]) -> TextBank:
    names = tuple(f"class {k}" for k in sorted(set(classes)))
    texts = tuple(f"text {i}" for i in range(len(classes)))
    kinds: tuple[Kind, ...] = ("motion_sentence",) * len(classes)
    return TextBank(embeddings, torch.tensor(classes), kinds, texts, names, "fake", "0")


def claim_reference(clips: int) -> ClaimReference:
    """Of clips that bear out nothing in particular."""
    size = len(claim_space().claims)
    half, flat = torch.full((size,), 0.5), torch.zeros(size)
    return ClaimReference(half, flat, flat, torch.full((claim_space().num_kinds, 3), 0.2), torch.randn(clips, size))


def test_a_sentence_near_to_everything_gains_nothing() -> None:
    common, special = unit(16, seed=1), unit(16, seed=2)
    clips = normalize(unit(50, 16, seed=3) * 0.3 + common, dim=-1)
    reference = MotionReference(clips, torch.zeros(0), claim_reference(50), torch.tensor(0.0), torch.zeros(50).long())
    query = normalize(common + 0.5 * special, dim=-1)[None]
    bank = bank_of(torch.stack([common, special]), [0, 1])
    assert int((query @ bank.embeddings.T).argmax()) == 0
    nothing = torch.full((1, 2, len(claim_space().claims)), torch.nan)
    found = UnseenMotion(bank, reference, NEW, TRAINED).log_probabilities(query, nothing, torch.tensor(0.1))
    assert int(found.argmax()) == 1
    assert float(found.exp().sum()) == pytest.approx(1)


def test_measured_claims_and_the_head_add_up() -> None:
    """The joints alone decide where the head cannot tell two classes apart."""
    names = ("wave", "squat")
    texts = ("The right hand rises above the head.", "The person squats down.")
    same = unit(16, seed=1)
    bank = TextBank(
        torch.stack([same, same]), torch.tensor([0, 1]), ("motion_sentence",) * 2, texts, names, "fake", "0"
    )
    clips = list(generate(8, 0, ["wave with one hand", "squat"]))
    measured = measure_clips(clips)
    labels = torch.arange(2).repeat_interleave(8)
    profiles = torch.stack([stated([text]) for text in texts])
    claims = fit_claims(measured, labels, profiles)
    reference = MotionReference(unit(16, 16), torch.zeros(0), claims, torch.tensor(0.0), labels)
    found = UnseenMotion(bank, reference, NEW, TRAINED).log_probabilities(unit(16, 16), measured, torch.tensor(0.1))
    assert float((found.argmax(dim=1) == labels).float().mean()) > 0.9


def test_trained_and_new_actions_share_one_list() -> None:
    """The claims say whether a clip is of the new action; the head, which of the trained ones."""
    names = ("wave", "jump", "squat")
    texts = ("The right hand rises above the head.", "The person jumps up.", "The person squats down.")
    bank = TextBank(torch.eye(16)[:3], torch.arange(3), ("motion_sentence",) * 3, texts, names, "fake", "0")
    train, test = list(generate(8, 0, ["wave with one hand", "jump"])), list(generate(8, 1, ["jump", "squat"]))
    profiles = torch.stack([stated([text]) for text in texts[:2]])
    labels = torch.arange(2).repeat_interleave(8)
    claims = fit_claims(measure_clips(train), labels, profiles)
    reference = MotionReference(unit(16, 16), torch.zeros(0), claims, torch.tensor(2.0), labels)
    motion = UnseenMotion(bank, reference, torch.tensor([True, True, False]), names[:2])
    head = torch.eye(16)[[1] * 8 + [0] * 8]  # the head knows no squat: it takes it for a wave
    found = motion.log_probabilities(head, measure_clips(test), torch.tensor(0.1))
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(16))
    truth = torch.tensor([1] * 8 + [2] * 8)
    assert float((found.argmax(dim=1) == truth).float().mean()) > 0.8
    motion.constant = torch.tensor(50.0)
    assert (motion.log_probabilities(head, measure_clips(test), torch.tensor(0.1)).argmax(dim=1) == 2).all()


def test_clips_of_trained_classes_that_are_no_candidates_do_not_count() -> None:
    names, classes = ("wave", "squat"), ("wave", "jump")
    texts = ("The right hand rises above the head.", "The person squats down.")
    bank = TextBank(torch.eye(16)[:2], torch.arange(2), ("motion_sentence",) * 2, texts, names, "fake", "0")
    measured, labels = measure_clips(generate(8, 0, ["wave with one hand", "jump"])), torch.arange(2).repeat(8)
    labels = labels.sort().values
    profiles = torch.stack([stated([text]) for text in (texts[0], "The person jumps up.")])
    reference = MotionReference(
        unit(16, 16), torch.zeros(0), fit_claims(measured, labels, profiles), torch.tensor(0.9), labels
    )
    trained = torch.tensor([True, False])
    motion = UnseenMotion(bank, reference, trained, classes)
    assert motion.of_all is not None
    leads = lead(motion.of_all.known, trained)
    assert float(motion.constant) == pytest.approx(float(constant_of(leads[:8], 0.9)))
    assert float(motion.constant) != pytest.approx(float(constant_of(leads, 0.9)))


def test_a_reference_is_saved_whole() -> None:
    reference = MotionReference(
        unit(5, 16), torch.rand(7), claim_reference(5), torch.tensor(0.5), torch.tensor([0, 0, 1, 2, 1])
    )
    again = MotionReference.from_tensors(reference.tensors())
    assert again.labels.tolist() == [0, 0, 1, 2, 1]
    assert float(again.tolerance) == 0.5
    assert torch.equal(again.head, reference.head)
    assert torch.equal(again.claims.known, reference.claims.known)
    with pytest.raises(KeyError):
        MotionReference.from_tensors({"head": reference.head})


def test_fact_captions_follow_the_mirror() -> None:
    own = FactCaptions(
        texts=("left", "right", "LEFT", "RIGHT"),
        embeddings=torch.eye(4),
        rows=torch.tensor([[[0, 2], [1, 3]], [[1, 3], [0, 2]]]),
        truth=torch.tensor([[[1, 0], [0, 1]], [[0, -1], [-1, 0]]], dtype=torch.int8),
        measured=torch.tensor([[[0.0], [1.0]], [[2.0], [3.0]]]),
        positions={7: 0, 9: 1},
        encoder=FakeEncoder(),  # type: ignore[arg-type]
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
    assert own.measurements([9, 7])[:, 0, 0].tolist() == [2.0, 0.0]


def test_fact_captions_of_real_clips() -> None:
    clips = list(generate(2, 0, ["wave with one hand", "squat"]))
    own = build_fact_captions(enumerate(clips), FakeEncoder(), variants=2)  # type: ignore[arg-type]
    assert own.rows.shape == (4, 2, 2)
    for position, clip in enumerate(clips):
        plain, mirrored = (own.texts[own.rows[position, side, 0]] for side in (0, 1))
        facts = measure(clip)
        assert plain == fact_caption(facts)
        assert all(claim.holds for claim in check_claims(plain, facts))
        assert set(parse(mirrored)) == {claim.mirrored() for claim in parse(plain)}
    again = build_fact_captions(enumerate(clips), FakeEncoder(), variants=2)  # type: ignore[arg-type]
    assert again.texts == own.texts


def test_the_motion_task_trains_the_head() -> None:
    clips = list(generate(2, 0, ["squat", "jump", "bow"]))
    own = build_fact_captions(enumerate(clips), FakeEncoder(), variants=2)  # type: ignore[arg-type]
    bank = bank_of(unit(3, 16), [0, 1, 2])
    task = MotionLoss(head=head(), bank=bank, own=own, config=MotionConfig())
    batch = ClipBatch(
        joints=torch.zeros(6, 4, 1, 25, 3),
        lengths=torch.full((6,), 4),
        persons=torch.ones(6, 1, dtype=torch.bool),
        labels=torch.arange(3).repeat_interleave(2),
        indices=torch.arange(6),
    )
    tokens, mask = torch.randn(6, 4, 8), torch.ones(6, 4, dtype=torch.bool)
    mirrored = torch.zeros(6, dtype=torch.bool)
    optimizer = torch.optim.Adam(task.parameters(), 0.01)
    losses = []
    for step in range(30):
        loss, logs = task(tokens, mask, batch, mirrored, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
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
