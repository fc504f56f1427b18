"""What the stages draw at random, what they train and what they leave alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from sugar.config import parse_config
from sugar.datasets.store.store import write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.knowledge.bank import TextBank
from sugar.models.encoders.build import EncoderConfig, build_encoder
from sugar.models.heads.alignment import AlignmentConfig, KnowledgeAlignment
from sugar.models.heads.baseline import LinearBaseline, conse_log_probabilities
from sugar.skeleton.layouts import KINECT20, NTU25
from sugar.training.class_groups import group_classes, grouped_cross_entropy
from sugar.training.config import ListConfig, RunConfig
from sugar.training.context import prepare
from sugar.training.stages.alignment import AlignmentObjective, KnowledgeLoss
from sugar.training.stages.baseline import BaselineObjective
from sugar.training.stages.instruction import draw_candidates, draw_size
from sugar.transforms.augment import AugmentConfig
from sugar.transforms.batches import ClipBatch

NAMES = ("sit", "stand", "walk")


def bank() -> TextBank:
    kinds = ["motion", "motion", "visual", "visual", "visual"] * 3
    generator = torch.Generator().manual_seed(0)
    return TextBank(
        embeddings=torch.nn.functional.normalize(torch.randn(15, 16, generator=generator), dim=-1),
        classes=torch.arange(3).repeat_interleave(5),
        kinds=tuple(kinds),  # type: ignore[arg-type]
        texts=tuple(f"text {i}" for i in range(15)),
        names=NAMES,
        encoder="test",
        fingerprint="0",
    )


def batch(size: int = 6) -> ClipBatch:
    generator = torch.Generator().manual_seed(1)
    return ClipBatch(
        joints=torch.randn(size, 20, 1, 20, 3, generator=generator),
        lengths=torch.full((size,), 20),
        persons=torch.ones(size, 1, dtype=torch.bool),
        labels=torch.arange(size) % 3,
        indices=torch.arange(size),
    )


def alignment(negatives: str, visual_texts: int = 2, texts: TextBank | None = None) -> AlignmentObjective:
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(), KINECT20)
    alignment = KnowledgeAlignment(
        in_channels=encoder.out_channels,
        text_channels=16,
        num_classes=3,
        config=AlignmentConfig(negatives=negatives, visual_texts=visual_texts),  # type: ignore[arg-type]
        num_branches=encoder.num_branches,
    )
    return AlignmentObjective(
        encoder=encoder,
        losses=[(1.0, KnowledgeLoss(alignment=alignment, bank=texts or bank()))],
        layout=KINECT20,
        augmentation=AugmentConfig(),
        frames=16,
    )


def test_each_clip_draws_texts_of_its_own_class() -> None:
    objective, texts, labels = alignment("batch"), bank(), batch().labels
    seen = set()
    for seed in range(20):
        drawn = objective.losses[0]._draw(labels, torch.Generator().manual_seed(seed))
        assert len(drawn) == 6 * 3
        assert texts.classes[drawn].bincount().tolist() == [6, 6, 6]
        kinds = [texts.kinds[int(i)] for i in drawn]
        assert (kinds.count("motion"), kinds.count("visual")) == (6, 12)
        assert drawn.unique().numel() > 3
        seen |= set(drawn.tolist())
    assert seen == set(range(15))  # all texts come up in time
    assert len(alignment("batch", visual_texts=0).losses[0]._draw(labels, torch.Generator())) == 6


def test_classes_with_few_texts_take_none_from_the_others() -> None:
    """The second class has one visual text, the third only its name."""
    full, rows = bank(), [0, 1, 2, 3, 4, 5, 6, 7, 10]
    kinds = (*(full.kinds[i] for i in rows[:-1]), "name")
    texts = replace(full, embeddings=full.embeddings[rows], classes=full.classes[rows], kinds=kinds)
    objective, labels = alignment("batch", texts=texts), torch.tensor([0, 1, 2])
    for seed in range(20):
        drawn = objective.losses[0]._draw(labels, torch.Generator().manual_seed(seed)).tolist()
        assert len(drawn) == 3 * 3
        motion, visual = drawn[:3], [drawn[3:5], drawn[5:7], drawn[7:9]]
        assert motion[0] in {0, 1}
        assert motion[1] in {5, 6}
        assert len(set(visual[0])) == 2
        assert set(visual[0]) <= {2, 3, 4}
        assert visual[1] == [7, 7]
        assert {motion[2], *visual[2]} == {8}


def test_names_alone_can_be_contrasted_within_a_batch() -> None:
    full = bank()
    texts = replace(full, embeddings=full.embeddings[::5], classes=full.classes[::5], kinds=("name",) * 3)
    objective = alignment("batch", texts=texts)
    assert objective.losses[0]._draw(torch.tensor([2, 0, 2]), torch.Generator()).tolist() == [2, 0, 2]
    assert objective(batch(), torch.Generator().manual_seed(0))[1]["contrast"] > 0


def test_both_kinds_of_negatives_train() -> None:
    for negatives in ("batch", "bank"):
        objective = alignment(negatives)
        loss, logs = objective(batch(), torch.Generator().manual_seed(0))
        loss.backward()
        assert logs["contrast"] > 0
        assert all(p.grad is not None for p in objective.losses[0].alignment.parameters())
        assert all(p.grad is not None for p in objective.encoder.parameters())
        same = objective(batch(), torch.Generator().manual_seed(0))[1]["contrast"]
        other = objective(batch(), torch.Generator().manual_seed(1))[1]["contrast"]
        assert not torch.equal(same, other)


def test_every_branch_of_the_baseline_gets_a_loss_of_its_own() -> None:
    torch.manual_seed(0)
    baseline = LinearBaseline(encoder=build_encoder(EncoderConfig(), KINECT20), num_classes=3)
    objective = BaselineObjective(
        baseline=baseline, layout=KINECT20, augmentation=AugmentConfig(), frames=16, label_smoothing=0.0
    )
    loss, logs = objective(batch(), torch.Generator().manual_seed(0))
    loss.backward()
    assert len(baseline.heads) == 3
    assert all(head.weight.grad is not None for head in baseline.heads)
    assert 0 <= logs["accuracy"] <= 1


def test_a_candidate_list_keeps_the_truth() -> None:
    names = [f"name {i}" for i in range(8)]
    sizes, places = set(), set()
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        size = draw_size(8, ListConfig(), generator)
        drawn = draw_candidates(names, 3, size, ListConfig(), generator)
        assert "name 3" in drawn
        assert len(set(drawn)) == len(drawn) == size
        sizes.add(size)
        places.add(drawn.index("name 3"))
    assert sizes == set(range(2, 9))
    assert places == set(range(8))
    fixed = ListConfig(shuffle=False, sublists=False)
    assert draw_size(8, fixed, torch.Generator()) == 8
    assert draw_candidates(names, 3, 8, fixed, torch.Generator()) == names


def test_conse_takes_the_nearest_unseen_name() -> None:
    seen = torch.log(torch.tensor([[0.9, 0.1], [0.1, 0.9]]))
    seen_embeddings = torch.eye(3)[:2]
    candidates = torch.nn.functional.normalize(torch.tensor([[0.0, 1.0, 0.3], [1.0, 0.0, 0.3]]), dim=-1)
    scores = conse_log_probabilities(seen, seen_embeddings, candidates)
    assert scores.argmax(dim=1).tolist() == [1, 0]
    torch.testing.assert_close(scores.exp().sum(dim=1), torch.ones(2))


def test_a_run_counts_the_persons_that_it_drops(tmp_path: Path) -> None:
    classes = ("clap", "hug")
    write_store(tmp_path / "store", generate(12, 0, classes), name="s", classes=classes, layout=NTU25, source="test")
    values = {
        "data": {
            "store": str(tmp_path / "store"),
            "protocol": "synthetic-cross-person",
            "validation": {"by": "none"},
        },
        "knowledge": {"pack": "synthetic"},
        "model": {"preprocess": {"max_persons": 1}},
        "stages": ["alignment"],
    }
    run = prepare(parse_config(RunConfig, values, where="test")[0], tmp_path / "run")
    hugs = int((run.store.labels[run.split.train] == 1).sum())
    assert run.record["dropped_persons"] == {"persons": hugs, "clips": hugs}
    assert hugs > 0


def test_classes_are_rivals_of_those_on_their_lists() -> None:
    lists = (("sit", "walk", "elsewhere"), ("walk", "run"))
    class_groups = group_classes(lists, ["sit", "walk", "run"], protocol="p")
    assert class_groups.tolist() == [[True, True, False], [True, True, True], [False, True, True]]
    with pytest.raises(InputError, match="'p': class 'jump' is on none of its lists"):
        group_classes(lists, ["sit", "jump"], protocol="p")
    with pytest.raises(InputError, match="'sit' is on none"):
        group_classes((), ["sit"], protocol="p")


def test_a_softmax_over_rivals_is_one_over_them_alone() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 4, requires_grad=True), torch.tensor([0, 1, 2, 0, 1])
    class_groups = torch.block_diag(torch.ones(3, 3), torch.ones(1, 1)).bool()
    loss = grouped_cross_entropy(logits, labels, class_groups, 0.1)
    torch.testing.assert_close(loss, F.cross_entropy(logits[:, :3], labels, label_smoothing=0.1))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.isfinite().all()
    assert (gradient[:, 3] == 0).all()
    every = grouped_cross_entropy(logits, labels, None, 0.1)
    torch.testing.assert_close(every, grouped_cross_entropy(logits, labels, torch.ones(4, 4).bool(), 0.1))
