"""Speed and size of the encoders: `python lab/benchmarks/encoders.py [--json]`.

Training is forward, backward and one AdamW step on random clips; inference is a forward pass in evaluation mode.
Both report the median over repeats. FLOPs are those of one clip's forward pass, as PyTorch counts them.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from sugar.config import parse_config, read_config
from sugar.models.encoders import CTRGCN, Encoder
from sugar.models.encoders.build import EncoderConfig, build_encoder
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import KINECT20, NTU25
from sugar.training.config import RunConfig

CONFIGS = Path(__file__).parents[2] / "configs"


def of_recipe(name: str) -> Callable[[JointLayout], Encoder]:
    """The encoder of a file in configs/, for any layout."""
    config, _ = parse_config(RunConfig, read_config(CONFIGS / name), where=name)
    return lambda layout: build_encoder(config.model.encoder, layout)


SHAPES: dict[str, tuple[JointLayout, int, int]] = {"nw-ucla": (KINECT20, 52, 1), "ntu": (NTU25, 64, 2)}
"""Name to joint layout, frames, persons."""
ENCODERS: dict[str, Callable[[JointLayout], Encoder]] = {
    "default": lambda layout: build_encoder(EncoderConfig(), layout),
    "nw_ucla.yaml": of_recipe("nw_ucla.yaml"),
    "ctrgcn": lambda layout: CTRGCN(layout=layout),
}
PUBLIC_CTRGCN = {
    "nw-ucla": {"train_clips_per_s": 14.3, "infer_clips_per_s": 65.0},
    "ntu": {"train_clips_per_s": 4.7, "infer_clips_per_s": 15.5},
}
"""The public CTR-GCN code, float32, batch 16, on two CPU cores."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--batch", type=int, default=16, help="clips in a batch")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps of each kind, after one to warm up")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 leaves PyTorch's choice")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16", help="bf16 is by autocast")
    options = parser.parse_args()
    if options.batch < 1 or options.repeats < 1:
        parser.error("--batch and --repeats must be at least 1")
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    shapes = {
        shape: {
            name: measure(
                build(layout), layout, frames, persons, options.batch, options.repeats, device, options.precision
            )
            for name, build in ENCODERS.items()
        }
        for shape, (layout, frames, persons) in SHAPES.items()
    }
    if options.json:
        print(json.dumps({"shapes": shapes}))
    else:
        print_table(shapes, f"{device}, {torch.get_num_threads()} threads, batch {options.batch}, {options.precision}")


def measure(
    encoder: Encoder,
    layout: JointLayout,
    frames: int,
    persons: int,
    batch: int,
    repeats: int,
    device: torch.device,
    precision: str,
) -> dict[str, float]:
    """Clips per second in training and inference, number of weights, FLOPs of one clip."""
    encoder = encoder.to(device)
    generator = torch.Generator().manual_seed(0)
    joints = torch.randn(batch, frames, persons, layout.num_joints, 3, generator=generator).to(device)
    present = torch.ones(batch, persons, dtype=torch.bool, device=device)
    optimizer = torch.optim.AdamW(encoder.parameters(), fused=True)

    def forward() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            return encoder(joints, present)[0]

    def train() -> None:
        forward().float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    def infer() -> None:
        with torch.no_grad():
            forward()

    encoder.train()
    train_rate = batch / median_seconds(train, repeats, device)
    encoder.eval()
    infer_rate = batch / median_seconds(infer, repeats, device)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        encoder(joints[:1], present[:1])
    return {
        "train_clips_per_s": round(train_rate, 1),
        "infer_clips_per_s": round(infer_rate, 1),
        "parameters": sum(weight.numel() for weight in encoder.parameters()),
        "flops": counter.get_total_flops(),
    }


def median_seconds(step: Callable[[], None], repeats: int, device: torch.device) -> float:
    """Median duration of a step, after one that is not counted; waits for the device."""
    durations = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        step()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations[1:])


def print_table(shapes: dict[str, dict[str, dict[str, float]]], conditions: str) -> None:
    """The measurements beside the public code's, and how many times as fast as our CTR-GCN each trains."""
    print(conditions)
    columns = f"{'train clips/s':>14}{'x ctrgcn':>10}{'infer clips/s':>14}{'weights':>12}{'MFLOPs':>9}"
    print(f"{'shape':9}{'encoder':18}{columns}")
    for shape, encoders in shapes.items():
        for name, row in encoders.items():
            lead = row["train_clips_per_s"] / encoders["ctrgcn"]["train_clips_per_s"]
            print(
                f"{shape:9}{name:18}{row['train_clips_per_s']:14.1f}{lead:10.1f}{row['infer_clips_per_s']:14.1f}"
                f"{row['parameters']:12,}{row['flops'] / 1e6:9.1f}"
            )
        public = PUBLIC_CTRGCN[shape]
        rates = f"{public['train_clips_per_s']:14.1f}{'':10}{public['infer_clips_per_s']:14.1f}"
        print(f"{shape:9}{'public ctr-gcn *':18}{rates}")
    print("* measured once: float32, batch 16, two CPU cores")


if __name__ == "__main__":
    main()
