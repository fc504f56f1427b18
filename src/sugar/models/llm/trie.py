"""A trie over token sequences, for exact scoring of candidate names with one tree-attention forward."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sugar.errors import InputError

ROOT = -1
MAX_TOKENS = 256
"""Of one candidate; the trie is walked by recursion."""


class _Node:
    __slots__ = ("candidates", "children")

    def __init__(self) -> None:
        self.children: dict[int, _Node] = {}
        self.candidates: list[int] = []

    @property
    def branches(self) -> bool:
        return len(self.children) > 1

    @property
    def leads_to_a_branch(self) -> bool:
        return self.branches or any(child.leads_to_a_branch for child in self.children.values())


@dataclass(frozen=True, eq=False)
class TokenTrie:
    """What a language model must compute to score K candidates, as flat tables.

    Only nodes with two children or more need next-token logits (a single child has probability 1), and only
    nodes on the way to such a node need to be read at all: N nodes are read, parents first; R nodes branch.

    `tokens` ``[N]``: token of each node. `parents` ``[N]``: index among the N, or ``ROOT`` (the end of the
    prompt). `depths` ``[N]``: 1 for children of the root. `branch_nodes` ``[R]``: index among the N, or
    ``ROOT``, which comes first where the root branches. `children` ``[R, C]``: tokens of the children, padded
    to the widest; `child_mask` ``[R, C]``. `edges` and `edge_candidates` ``[E]``: each edge below a branching
    node on the path of a candidate, as index into the flat ``R * C`` table, and that candidate.
    """

    num_candidates: int
    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]
    branch_nodes: tuple[int, ...]
    children: Tensor
    child_mask: Tensor
    edges: Tensor
    edge_candidates: Tensor

    @classmethod
    def build(cls, sequences: Sequence[Sequence[int]], names: Sequence[str], *, end: int) -> "TokenTrie":
        """The trie of K token sequences.

        Args:
            sequences: the tokens of each candidate's answer.
            names: the candidates, for messages only.
            end: the end-of-text token; it closes a sequence that is a prefix of another.

        Raises:
            InputError: a sequence is empty or too long, or two are equal.
        """
        root = _Node()
        for index, (sequence, name) in enumerate(zip(sequences, names, strict=True)):
            if not sequence:
                raise InputError(f"candidates: {name!r} has no tokens in this LLM's vocabulary; rename it")
            if len(sequence) > MAX_TOKENS:
                raise InputError(
                    f"candidates: {name[:40]!r}... has {len(sequence)} tokens for this LLM, more than {MAX_TOKENS}; "
                    "shorten the name"
                )
            node = root
            for token in sequence:
                node = node.children.setdefault(token, _Node())
            if node.candidates:
                raise InputError(
                    f"candidates: {names[node.candidates[0]]!r} and {name!r} are the same tokens for this "
                    "LLM; rename one"
                )
            node.candidates.append(index)
        _close_prefixes(root, end)
        return _flatten(root, len(sequences))

    def ancestors(self) -> Tensor:
        """``[N, N]`` bool: True where the column's node is the row's node or one of its ancestors."""
        seen = torch.eye(len(self.tokens), dtype=torch.bool)
        for node, parent in enumerate(self.parents):
            if parent != ROOT:
                seen[node] |= seen[parent]
        return seen

    def path(self, node: int) -> list[int]:
        """The tokens from the root to ``node`` (an index among the N, or ``ROOT``: no tokens)."""
        tokens: list[int] = []
        while node != ROOT:
            tokens.append(self.tokens[node])
            node = self.parents[node]
        return tokens[::-1]

    def log_probs(self, logits: Tensor) -> Tensor:
        """Logits at the branching nodes ``[B, R, vocabulary]`` -> log-probabilities ``[B, K]``, float32.

        At each node the probabilities are renormalized over its children; a candidate's is the product
        along its path. So they sum to 1 for any logits.
        """
        total = logits.new_zeros(logits.shape[0], self.num_candidates, dtype=torch.float32)
        if not self.branch_nodes:
            return total
        device = logits.device
        index = self.children.to(device).expand(logits.shape[0], -1, -1)
        kept = logits.gather(2, index).float().masked_fill(~self.child_mask.to(device), float("-inf"))
        step = kept.log_softmax(dim=2).flatten(1)[:, self.edges.to(device)]
        return total.index_add(1, self.edge_candidates.to(device), step)


def _close_prefixes(node: _Node, end: int) -> None:
    for child in list(node.children.values()):
        _close_prefixes(child, end)
    if node.candidates and node.children:
        if end in node.children:
            raise InputError("candidates: a name holds the LLM's end-of-text token; rename it")
        closing = node.children[end] = _Node()
        closing.candidates = node.candidates
        node.candidates = []


def _flatten(root: _Node, num_candidates: int) -> TokenTrie:
    tokens: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    branch_nodes: list[int] = []
    branch_children: list[list[int]] = []
    ends: list[tuple[list[tuple[int, int]], list[int]]] = []  # (branching row, column) along a path, its candidates

    def visit(node: _Node, index: int, depth: int, route: list[tuple[int, int]]) -> None:
        if node.candidates:
            ends.append((route, node.candidates))
        row = len(branch_nodes)
        if node.branches:
            branch_nodes.append(index)
            branch_children.append(list(node.children))
        for column, (token, child) in enumerate(node.children.items()):
            child_index = ROOT
            if child.leads_to_a_branch:
                child_index = len(tokens)
                tokens.append(token)
                parents.append(index)
                depths.append(depth + 1)
            visit(child, child_index, depth + 1, [*route, (row, column)] if node.branches else route)

    visit(root, ROOT, 0, [])
    width = max(map(len, branch_children), default=0)
    children = torch.zeros(len(branch_nodes), width, dtype=torch.long)
    child_mask = torch.zeros(len(branch_nodes), width, dtype=torch.bool)
    for row, row_children in enumerate(branch_children):
        children[row, : len(row_children)] = torch.tensor(row_children)
        child_mask[row, : len(row_children)] = True
    edges = [
        (row * width + column, candidate) for route, owners in ends for candidate in owners for row, column in route
    ]
    return TokenTrie(
        num_candidates=num_candidates,
        tokens=tuple(tokens),
        parents=tuple(parents),
        depths=tuple(depths),
        branch_nodes=tuple(branch_nodes),
        children=children,
        child_mask=child_mask,
        edges=torch.tensor([edge for edge, _ in edges], dtype=torch.long),
        edge_candidates=torch.tensor([candidate for _, candidate in edges], dtype=torch.long),
    )
