"""Claims as numbers: what classes state, how much clips bear it out, and what trained classes teach of both."""

import numpy as np
import pytest
import torch

from sugar.datasets.synthetic import generate
from sugar.facts.claims import Claim
from sugar.facts.grammar import all_claims, parse
from sugar.facts.measure import measure
from sugar.knowledge.claim_degrees import measured_claims
from sugar.knowledge.claim_space import FOLLOWS, NEIGHBOR, ClaimEncoder, claim_space, sentence_claims, stated
from sugar.knowledge.fact_captions import measure_clips
from sugar.knowledge.pack import load_pack
from sugar.models.heads.claim_matching import ClaimMatcher, evidence, fit_claims

SPACE = claim_space()
ROW = {claim: i for i, claim in enumerate(SPACE.claims)}


def test_groups_hold_every_claim_once() -> None:
    members = SPACE.members[SPACE.members >= 0].tolist()
    assert sorted(members) == list(range(len(SPACE.claims)))
    for row in SPACE.members:
        group = {(SPACE.claims[i].subject, SPACE.claims[i].predicate, SPACE.claims[i].person) for i in row if i >= 0}
        assert len(group) == 1
    assert all(all_claims()[column] == claim for column, claim in zip(SPACE.columns, SPACE.claims, strict=True))


def test_what_a_class_says_follows_and_what_lies_near() -> None:
    said = stated(["The right hand rises to head height."])
    right = {v: float(said[ROW[Claim("right hand", "rises to", v)]]) for v in ("chest", "shoulder", "head")}
    assert right == {"chest": 0.0, "shoulder": NEIGHBOR, "head": 1.0}
    assert float(said[ROW[Claim("right hand", "goes", "up")]]) == FOLLOWS
    assert float(said[ROW[Claim("left hand", "rises to", "head")]]) == 0
    both = stated(["Both hands rise above the head."])
    for hand in ("left hand", "right hand"):
        assert float(both[ROW[Claim(hand, "rises to", "above the head")]]) == 1  # type: ignore[arg-type]
    one_of_two = stated(["The right hand moves.", "The person jumps."])
    assert float(one_of_two[ROW[Claim("body", "jumps", "")]]) == pytest.approx(0.5**0.5)


def test_sentences_of_the_packs_state_something() -> None:
    for entry in load_pack("utd_mhad").classes:
        assert (sentence_claims(entry.motion_sentences) > 0).any(dim=1).all()


def test_claim_vectors_tell_left_from_right() -> None:
    texts = ["The right hand goes up.", "The left hand goes up.", "The right hand goes up quickly.", "Nothing of it."]
    encoder = ClaimEncoder.fit(texts[:3])
    vectors = encoder.encode(texts)
    torch.testing.assert_close(vectors[:3].norm(dim=1), torch.ones(3))
    assert float(vectors[0] @ vectors[1]) == 0
    assert 0.5 < float(vectors[0] @ vectors[2]) < 1
    assert float(vectors[3].norm()) == 0
    assert ClaimEncoder(encoder.rarity).fingerprint == encoder.fingerprint != ClaimEncoder.fit(texts[:1]).fingerprint


def test_degrees_grow_with_what_is_claimed() -> None:
    clips = {name: list(generate(6, 0, [name])) for name in ("squat", "wave with one hand", "jump")}
    measured = {name: torch.stack([measured_claims(measure(clip)) for clip in of]) for name, of in clips.items()}
    for name, claim in (
        ("squat", Claim("knees", "bends", "")),
        ("wave with one hand", Claim("right hand", "rises to", "above the head")),
        ("jump", Claim("body", "jumps", "")),
    ):
        own = np.nanmean(measured[name][:, 1, ROW[claim]])
        others = [np.nanmean(measured[other][:, 1, ROW[claim]]) for other in clips if other != name]
        hands = {"right hand": Claim("left hand", claim.predicate, claim.value)}.get(claim.subject)
        own = max(own, np.nanmean(measured[name][:, 1, ROW[hands]])) if hands else own
        assert own > max(others), claim


def test_truth_and_degree_are_of_one_claim() -> None:
    facts = measure(next(iter(generate(1, 0, ["squat"]))))
    truth = measured_claims(facts)[0]
    for i, claim in enumerate(SPACE.claims):
        answer = facts.check(claim)
        assert bool(truth[i].isnan()) if answer is None else float(truth[i]) == float(answer)


def test_evidence_is_for_and_against() -> None:
    measured = torch.zeros(1, len(SPACE.claims))
    measured[0, ROW[Claim("right hand", "rises to", "head")]] = 2.0
    measured[0, ROW[Claim("right hand", "rises to", "chest")]] = 1.0
    profiles = torch.zeros(2, len(SPACE.claims))
    profiles[0, ROW[Claim("right hand", "rises to", "head")]] = 1.0
    parts = evidence(measured, profiles)[0]
    kind = int(
        SPACE.kinds[
            next(i for i, row in enumerate(SPACE.members) if ROW[Claim("right hand", "rises to", "head")] in row)
        ]
    )
    assert float(parts[0, kind, 0]) == 2.0  # what is said
    assert float(parts[0, kind, 1]) == pytest.approx(-1 / 6)  # the six other levels
    assert float(parts[1, kind, 2]) == pytest.approx(-3 / 7)  # the whole group, unsaid
    assert float(parts[1, kind, 0]) == 0


def test_unseen_classes_are_found_by_what_trained_ones_teach() -> None:
    seen = ["clap", "kick", "sit down", "stand up", "bow", "jump"]
    unseen = ["squat", "wave with one hand", "walk forward"]
    pack = load_pack("synthetic")
    unseen = [name for name in unseen if name in pack] or ["squat", "wave with one hand"]
    train, test = list(generate(8, 0, seen)), list(generate(8, 1, unseen))
    labels = torch.arange(len(seen)).repeat_interleave(8)
    profiles = torch.stack([stated(pack[name].motion_sentences) for name in seen])
    reference = fit_claims(measure_clips(train), labels, profiles)
    assert (reference.weights >= 0).all()
    matcher = ClaimMatcher(reference, torch.stack([stated(pack[name].motion_sentences) for name in unseen]))
    scores = matcher.scores(measure_clips(test))
    truth = torch.arange(len(unseen)).repeat_interleave(8)
    assert float((scores.argmax(dim=1) == truth).float().mean()) > 0.8
    torch.testing.assert_close(scores.mean(dim=1), torch.zeros(len(test)), atol=1e-5, rtol=0)
    assert parse(pack[unseen[0]].motion_sentences[0])
