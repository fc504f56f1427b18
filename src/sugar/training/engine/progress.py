"""What a training tells: ``metrics.jsonl``, TensorBoard, and the terminal."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sugar.errors import InputError
from sugar.files import write_text

METRICS_FILE = "metrics.jsonl"


class TrainingLog:
    """Log of one stage; a context manager. Only the main process makes one that is ``enabled``.

    Lines of other stages in the same file stay; lines of this stage beyond ``step`` go, so that a resumed
    training logs no step twice.
    """

    def __init__(
        self,
        folder: Path,
        *,
        stage: str,
        step: int,
        steps: int,
        epochs: int,
        tensorboard: Literal["auto", "on", "off"],
        enabled: bool,
    ) -> None:
        self.stage = stage
        self.epochs = epochs
        self.enabled = enabled
        if not enabled:
            return
        self._writer = _tensorboard_writer(folder / "tensorboard" / stage, step, tensorboard)
        path = folder / METRICS_FILE
        _keep_until(path, stage, step)
        self._file = path.open("a", encoding="utf-8")
        self._console = Console(file=sys.stderr)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(stage, total=steps, completed=step, note="")

    def __enter__(self) -> "TrainingLog":
        if self.enabled:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.enabled:
            self._bar.stop()
            self._file.close()
            if self._writer is not None:
                self._writer.close()

    def start_line(self, how: str) -> None:
        """One line about how the stage trains, terminal or not."""
        if self.enabled:
            print(f"{self.stage}: {how}", file=sys.stderr, flush=True)

    def advance(self, *, epoch: int, step: int, loss: float, clips_per_s: float) -> None:
        """Move the bar; ``epoch`` counts from 1."""
        if self.enabled and not self._bar.disable:
            note = f"epoch {epoch}/{self.epochs}  loss {loss:.4g}  {clips_per_s:,.0f} clips/s"
            self._bar.update(self._task, completed=step, note=note)

    def event(self, *, epoch: int, step: int, values: dict[str, float]) -> None:
        """Write one line of values, and the same to TensorBoard."""
        if not self.enabled:
            return
        line = {"stage": self.stage, "epoch": epoch, "step": step}
        self._file.write(json.dumps(line | {key: float(f"{value:.6g}") for key, value in values.items()}) + "\n")
        self._file.flush()
        if self._writer is not None:
            for key, value in values.items():
                self._writer.add_scalar(key, value, step)

    def epoch_line(self, *, epoch: int, values: dict[str, float]) -> None:
        """One plain line an epoch where there is no terminal for a bar."""
        if self.enabled and self._bar.disable:
            shown = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
            print(f"{self.stage}: epoch {epoch}/{self.epochs}: {shown}", file=sys.stderr, flush=True)


def _keep_until(path: Path, stage: str, step: int) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # a line that a kill cut short
        if record["stage"] != stage or record["step"] <= step:
            kept.append(line + "\n")
    write_text(path, "".join(kept))


def _tensorboard_writer(folder: Path, step: int, wanted: Literal["auto", "on", "off"]) -> Any:
    if wanted == "off":
        return None
    if find_spec("tensorboard") is None:
        if wanted == "on":
            raise InputError("loop.tensorboard is on but TensorBoard is missing: pip install 'sugar[tensorboard]'")
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
