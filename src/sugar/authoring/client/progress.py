"""The totals of a job, and a progress bar on the terminal."""

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class Summary:
    """Totals of a job, updated while it runs; several runs may share one summary.

    Attributes:
        total: number of requests; None: not known.
        calls: calls of the model, every retry and repair included.
        from_journal: requests with an entry in the journal, and repeated ones.
        answered, failed: requests that called the model in this run.
        repaired: calls because a reply was of the wrong shape.
        retried: calls repeated because the server could not answer.
        tokens_in, tokens_out, cost: of this run.
        spent: ``cost``, and the former cost of the entries from the journal.
        seconds: duration.
        left: requests without an outcome because ``max_cost`` was reached.
    """

    total: int | None = None
    calls: int = 0
    from_journal: int = 0
    answered: int = 0
    failed: int = 0
    repaired: int = 0
    retried: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    spent: float = 0.0
    seconds: float = 0.0
    left: int = 0

    @property
    def done(self) -> int:
        """Requests with an outcome."""
        return self.from_journal + self.answered + self.failed

    def text(self) -> str:
        """All totals in one line."""
        tokens = self.tokens_in + self.tokens_out
        text = (
            f"{self.done:,} requests: {self.from_journal:,} from the journal, {self.answered:,} answered, "
            f"{self.failed:,} failed; {self.calls:,} calls ({self.retried:,} retried, {self.repaired:,} repairs), "
            f"{tokens:,} tokens, cost {self.cost:,.2f}, {self.seconds:,.1f} s"
        )
        if not self.left:
            return text
        return f"{text}; stopped at max_cost ({self.spent:,.2f} spent), {self.left:,} left: a larger max_cost goes on"


class AskingProgress:
    """A bar on the terminal with rate, tokens, cost and failures, for ``with``; nothing where there is no terminal."""

    def __init__(self, total: int | None = None, console: "Console | None" = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("asking"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, note="")

    def __enter__(self) -> "AskingProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, summary: Summary) -> None:
        """Show where the job is."""
        if not self._bar.disable:
            self._bar.update(self._task, completed=summary.done, note=note(summary))


def note(summary: Summary) -> str:
    """Rate, tokens, cost and failures, in few words."""
    rate = (summary.answered + summary.failed) / summary.seconds if summary.seconds else 0.0
    parts = [f"{rate:,.1f}/s", f"{summary.tokens_in + summary.tokens_out:,} tokens"]
    if summary.spent:
        parts.append(f"cost {summary.spent:,.2f}")
    return ", ".join([*parts, f"{summary.failed} failed"])
