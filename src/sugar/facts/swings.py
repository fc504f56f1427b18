"""Swings to and fro in a signal: where it turns, how often it swings."""

import numpy as np

from sugar.facts.body_frame import Signal
from sugar.facts.thresholds import Thresholds


def least_swing(values: Signal, limit: Thresholds) -> float:
    """The least half swing that is no noise."""
    return max(limit.swing[0], limit.swing[1] * float(np.ptp(values)))


def count_swings(series: list[Signal], whole: Signal, limit: Thresholds, fps: float) -> tuple[int, float, int]:
    """Swings to and fro: their number (1 for a single movement), how many a second, and along which series.

    Args:
        series: positions while the limb is away from its rest; the one that swings most is counted.
        whole: way from its start toward its farthest point over the whole clip: for what goes out and comes back.
    """
    best = (0.0, 1, 0.0, 0)
    for k, values in enumerate(series):
        frames, ends = turning_points(values, least_swing(values, limit))
        halves = np.abs(np.diff(ends))
        if len(halves) and float(halves.sum()) > best[0]:
            best = (float(halves.sum()), *_per_second(float(halves.sum() / np.median(halves)), frames, fps), k)
    frames, ends = turning_points(whole, least_swing(whole, limit))
    if len(ends) > 3 and float(np.abs(np.diff(ends)).sum()) > best[0]:
        return (*_per_second(len(ends) - 1, frames, fps), best[3])
    return best[1:]


def _per_second(halves: float, frames: list[int], fps: float) -> tuple[int, float]:
    count = max(1, round(halves / 2 + 0.01))
    seconds = (frames[-1] - frames[0]) / fps
    return count, count / seconds if seconds > 0 else 0.0


def turning_points(values: Signal, least: float) -> tuple[list[int], list[float]]:
    """Frames and values of the ends of all swings that are at least so large, in turn high and low."""
    points: list[tuple[int, float]] = []
    low = high = (0, float(values[0]))
    rising = 0
    for t, value in enumerate(values.tolist()):
        if value > high[1]:
            high = (t, value)
        if value < low[1]:
            low = (t, value)
        if rising >= 0 and high[1] - value >= least:
            if rising == 0 and low[0] < high[0] and high[1] - low[1] >= least:
                points.append(low)
            points.append(high)
            rising, low = -1, (t, value)
            high = (t, value)
        elif rising <= 0 and value - low[1] >= least:
            if rising == 0 and high[0] < low[0] and high[1] - low[1] >= least:
                points.append(high)
            points.append(low)
            rising, high = 1, (t, value)
            low = (t, value)
    if points:
        points.append(high if rising > 0 else low)
    return [t for t, _ in points], [value for _, value in points]
