"""What is told of a clip: few claims, all of them sure, none against another; and how the LLM's prompt holds it."""

import numpy as np
import pytest
import torch
from tiny_llm import NAMES, make_model

from sugar.datasets.synthetic import generate
from sugar.facts.claim_selection import MOST, select_claims, tell
from sugar.facts.claims import Claim
from sugar.facts.grammar import all_claims, is_allowed, parse
from sugar.facts.measure import measure
from sugar.models.llm.prompts import CHOOSE

CLAIMS = all_claims()


def values(**sure: float) -> np.ndarray:
    table = np.zeros(len(CLAIMS))
    for claim, value in sure.items():
        subject, predicate, what = (part.replace("_", " ") for part in claim.split("__"))
        table[CLAIMS.index(Claim(subject, predicate, what))] = value  # type: ignore[arg-type]
    return table


def test_all_claims_can_be_said() -> None:
    assert len(set(CLAIMS)) == len(CLAIMS) > 300
    assert all(is_allowed(claim) for claim in CLAIMS)


def test_the_rarest_is_told_and_only_what_is_sure() -> None:
    table = values(body__posture__standing=0.99, right_hand__rises_to__head=0.9, right_hand__rises_to__hip=0.4)
    rates = values(body__posture__standing=0.9, right_hand__rises_to__head=0.1, right_hand__rises_to__hip=0.01)
    assert select_claims(table, rates, most=1) == (Claim("right hand", "rises to", "head"),)
    assert len(select_claims(table, rates)) == 2
    assert tell(table, rates, threshold=0.95) == "The person stays standing."
    assert tell(np.full(len(CLAIMS), -1), rates) == ""


def test_what_is_told_does_not_contradict_itself() -> None:
    table = values(
        right_hand__rises_to__head=1,
        right_hand__rises_to__shoulder=1,
        both_hands__rises_to__shoulder=1,
        right_hand__still__=1,
        right_hand__moves__=1,
        right_hand__speed__fast=1,
    )
    assert select_claims(table, values(right_hand__rises_to__shoulder=0.1, right_hand__still__=0.5)) == (
        Claim("right hand", "rises to", "head"),
    )


@pytest.mark.parametrize("name", ["wave with one hand", "squat", "shake hands"])
def test_what_is_told_of_a_clip_is_true(name: str) -> None:
    rates = np.random.default_rng(0).random(len(CLAIMS))
    for clip in generate(3, 1, [name]):
        facts = measure(clip)
        truth = np.array([{True: 1, False: 0, None: -1}[facts.check(claim)] for claim in CLAIMS])
        told = parse(tell(truth, rates))
        assert 2 <= len(told) <= MOST
        assert all(facts.check(claim) for claim in told)


def test_the_prompt_holds_what_is_told_beside_the_action_tokens() -> None:
    before, after = CHOOSE.render(["walk", "sit"], "The person walks forward.")
    assert before.endswith("\n")
    assert after.startswith(" (The person walks forward.), please choose")
    assert CHOOSE.render(["walk", "sit"])[1].startswith(", please choose")


@torch.no_grad()
def test_each_sample_is_told_its_own() -> None:
    torch.manual_seed(0)
    model = make_model()
    actions = torch.randn(2, 5, model.width)
    told = ["The person walks forward.", "The right hand rises above the head and swings to and fro six times."]
    together = model.score(actions, NAMES, fact_hints=told)
    for row, text in enumerate(told):
        alone = model.score(actions[row : row + 1], NAMES, fact_hints=[text])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(together, model.score(actions, NAMES))
    lists, texts = [list(NAMES)] * 2, ["", ""]
    plain = model.loss(actions, lists, list(NAMES[:2]), texts)
    assert not torch.allclose(plain, model.loss(actions, lists, list(NAMES[:2]), texts, None, told))
