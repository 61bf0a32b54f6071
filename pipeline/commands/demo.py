"""Where the built-in experiment is."""

from pathlib import Path
from typing import Final

_EXPERIMENTS: Final = Path(__file__).resolve().parents[2] / "experiments"

DEMO_CONFIG: Final = _EXPERIMENTS / "demo.yaml"
DEMO_SPACE: Final = _EXPERIMENTS / "search" / "demo.yaml"
