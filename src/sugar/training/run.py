"""One run: knowledge, stage 1, baseline, stage 2, the fusion's weights, and the run folder."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import numpy as np

from sugar.evaluation.fit_fusion import fit_fusion
from sugar.evaluation.score_clips import score_clips
from sugar.models.run_folder import save_model
from sugar.models.scorers.scorers import FUSED_NAMES
from sugar.models.sugar import Sugar
from sugar.training.config import RunConfig, StageConfig, check_stages
from sugar.training.context import Context, prepare
from sugar.training.engine.fit import Objective, fit
from sugar.training.engine.processes import main_process_first, processes, share_trained
from sugar.training.environment import write_environment
from sugar.training.fingerprint import check_out
from sugar.training.stages.alignment import AlignmentStage
from sugar.training.stages.baseline import BaselineStage
from sugar.training.stages.instruction import InstructionStage
from sugar.transforms.batches import collate


class Stage(Protocol):
    """A stage of training; its settings stand in the config under its name."""

    name: str
    validated: str
    """The scorer whose accuracy on validation clips is logged."""

    def build(self, context: Context) -> Objective:
        """Add the stage's parts to the model; return the objective that trains them."""
        ...

    def finish(self, context: Context) -> None:
        """What is left to do when the objective has been trained."""
        ...


STAGES: dict[str, Stage] = {stage.name: stage for stage in (AlignmentStage(), BaselineStage(), InstructionStage())}


def train(config: RunConfig, out: str | Path, *, resume: bool = False) -> Sugar:
    """Train what ``config.stages`` names and write the run folder ``out``.

    Args:
        resume: go on where a run of the same config stopped; a finished run is only loaded and saved again.

    Raises:
        InputError: the store, pack, LLM or config is not as it must be; `out` exists and ``resume`` is off, or
            belongs to another config.
        Interrupted: a signal came; the run can be resumed.
    """
    out = Path(out)
    check_stages(config)
    main_process_first(lambda: check_out(config, out, resume))
    context = prepare(config, out, resume=resume)
    for name in config.stages:
        train_stage(context, STAGES[name])
    choose_fusion(context)
    main_process_first(lambda: write_run(context))
    return context.model.eval()


def train_stage(context: Context, stage: Stage) -> None:
    """Train one stage in place."""
    objective = stage.build(context)
    context.model.to(processes().device)  # the validation reads the whole model, whatever part the stage trains
    settings: StageConfig = getattr(context.config, stage.name)
    result = fit(
        objective,
        context.dataset,
        collate,
        loop=settings.loop,
        optimization=settings.optimization,
        seed=context.config.seed,
        folder=context.out,
        resume=context.resume,
        name=stage.name,
        validate=_validation(context, stage.validated),
        validate_every=0,
        fingerprint=context.fingerprint(stage.name),
    )
    context.record.setdefault("precision", {})[stage.name] = asdict(result.precision)
    share_trained(objective)
    stage.finish(context)


def choose_fusion(context: Context) -> None:
    """The fusion's weights: those that the config gives, or the best on the validation clips."""
    model, split = context.model, context.split
    model.fusion = context.fusion
    if context.fusion is None and len(split.validation) and "instruction" in context.config.stages:
        candidates = model.candidates(context.classes)
        scores = score_clips(model, context.store, split.validation, candidates, scorers=FUSED_NAMES)
        model.fusion = fit_fusion(scores, context.store.labels[split.validation])


def write_run(context: Context) -> None:
    """Write the run folder; ``config.yaml`` is there already."""
    write_environment(context.out, context.record)
    save_model(context.model, context.out)


def _validation(context: Context, scorer: str) -> Callable[[], dict[str, float]] | None:
    """Accuracy of one scorer on the validation clips, for the log; it chooses nothing."""
    chosen = context.split.validation
    if not len(chosen):
        return None

    def validate() -> dict[str, float]:
        candidates = context.model.candidates(context.classes)
        scores = score_clips(context.model, context.store, chosen, candidates, scorers=(scorer,))
        correct = scores[scorer].argmax(axis=1) == context.store.labels[chosen]
        return {f"{scorer}_top1": float(np.mean(correct))}

    return validate
