"""Process of a `Measurer`: read jobs as JSON lines, call `measure` of a module, print results.

python -m benchmarks.measurer MODULE
"""

import importlib
import json
import os
import sys


def main() -> None:
    """Measure until the end of standard input."""
    # Libraries print to standard output, so the results get their own descriptor.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    module = importlib.import_module(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(module.measure(**json.loads(line))), file=results, flush=True)


if __name__ == "__main__":
    main()
