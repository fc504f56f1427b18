"""Write a checkpoint of `train.py` as a Hugging Face folder: float16 weights, tokenizer, model card.

python lab/sugar_lm/export.py --work FOLDER [--to src/sugar/models/llm/shipped/sugar-lm]
"""

import argparse
import shutil
from pathlib import Path

import torch
from train import make_model
from transformers import AutoTokenizer

from sugar.files import atomic_folder

HERE = Path(__file__).parent
WEIGHTS = HERE.parents[1] / "src" / "sugar" / "models" / "llm" / "shipped" / "sugar-lm"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="the folder of build.py and train.py")
    parser.add_argument("--run", type=Path, default=None, help="default: --work/run")
    parser.add_argument("--to", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.work / "tokenizer")
    model = make_model(len(tokenizer))
    saved = torch.load((args.run or args.work / "run") / "checkpoint.pt", weights_only=True)
    model.load_state_dict(saved["model"])
    with atomic_folder(args.to) as folder:
        model.to(torch.float16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        # Greedy or sampled is the caller's choice.
        (folder / "generation_config.json").unlink(missing_ok=True)
        (folder / "model.safetensors").chmod(0o644)  # written private
        shutil.copy(HERE / "README.md", folder / "README.md")
    print(f"step {saved['step']}: {sum(file.stat().st_size for file in args.to.iterdir()):,} bytes in {args.to}")


if __name__ == "__main__":
    main()
