"""What the modules of the command line share."""

import json
import sys
from typing import Any


def print_json(value: Any) -> None:
    """One JSON object on a line of standard output, with escapes where its encoding lacks characters."""
    can_all = "utf" in (sys.stdout.encoding or "utf").lower() if sys.stdout else True
    print(json.dumps(value, ensure_ascii=not can_all), flush=True)
