"""The trie: which nodes it computes, and that any logits give a proper distribution."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.errors import InputError
from sugar.models.llm.trie import ROOT, TokenTrie

END = 0


def build(*sequences: list[int]) -> TokenTrie:
    return TokenTrie.build(sequences, [f"name {i}" for i in range(len(sequences))], end=END)


def test_only_what_leads_to_a_branch_is_read():
    # 1 2 3 9 | 1 2 4 9 | 5 6 7 8 9: the root and node "1 2" branch; "3", "4" and "5 ..." need no forward.
    trie = build([1, 2, 3, 9], [1, 2, 4, 9], [5, 6, 7, 8, 9])
    assert trie.tokens == (1, 2)
    assert trie.parents == (ROOT, 0)
    assert trie.depths == (1, 2)
    assert trie.branch_nodes == (ROOT, 1)
    assert trie.path(1) == [1, 2]
    assert trie.ancestors().tolist() == [[True, False], [True, True]]
    logits = torch.randn(4, 2, 10)
    expected = torch.stack(
        [
            logits[:, 0, [1, 5]].log_softmax(1)[:, 0] + logits[:, 1, [3, 4]].log_softmax(1)[:, 0],
            logits[:, 0, [1, 5]].log_softmax(1)[:, 0] + logits[:, 1, [3, 4]].log_softmax(1)[:, 1],
            logits[:, 0, [1, 5]].log_softmax(1)[:, 1],
        ],
        dim=1,
    )
    torch.testing.assert_close(trie.log_probs(logits), expected)


def test_prefix_is_closed_by_the_end_token():
    trie = build([1, 2], [1, 2, 3])
    assert trie.children.tolist() in ([[3, END]], [[END, 3]])
    logits = torch.zeros(1, 1, 10)
    logits[0, 0, END] = 1.0
    first, second = trie.log_probs(logits)[0].exp().tolist()
    assert first == pytest.approx(1 / (1 + torch.tensor(-1.0).exp().item()))
    assert first + second == pytest.approx(1)


def test_single_candidate_has_probability_one():
    trie = build([1, 2, 3])
    assert trie.branch_nodes == ()
    assert trie.log_probs(torch.zeros(2, 0, 10)).tolist() == [[0.0], [0.0]]


def test_names_that_cannot_be_told_apart_are_refused():
    with pytest.raises(InputError, match="'name 0' and 'name 2' are the same tokens"):
        build([1, 2], [3], [1, 2])
    with pytest.raises(InputError, match="'name 1' has no tokens"):
        build([1], [])
    with pytest.raises(InputError, match="end-of-text"):
        build([1], [1, END])
    with pytest.raises(InputError, match="has 257 tokens for this LLM, more than 256"):
        build([1] * 256, [1] * 257)
    assert len(build([1] * 256, [1] * 255 + [2]).tokens) == 255


sequences = st.lists(
    st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple), min_size=1, max_size=12, unique=True
)


@given(names=sequences, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_any_list_and_any_logits_sum_to_one(names: list[tuple[int, ...]], seed: int):
    trie = build(*map(list, names))
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(3, len(trie.branch_nodes), 6, generator=generator)
    log_probs = trie.log_probs(logits)
    assert log_probs.shape == (3, len(names))
    torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(3))
    for node, parent in enumerate(trie.parents):
        assert parent < node
