"""Reasons why rows of RESULTS.md do not reach their goal. A test requires one for each such row.

Each reason names the profile of the remaining time and the attempts to reduce it. After a change,
`python -m benchmarks --table` writes the table again.
"""

from collections.abc import Mapping
from typing import Final

REASONS: Final[Mapping[str, str]] = {}
"""Key of a row -> reason, in one paragraph."""
