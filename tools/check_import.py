"""Fail if ``import estep`` loads a heavy package; print how long the import takes.

The heavy packages are loaded on first use. The time is the shortest of a few fresh processes, and is only printed:
a timing is no test.
"""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("scipy", "sklearn", "numba", "llvmlite", "matplotlib", "pandas", "polars", "rich")
RUNS = 5
PROGRAM = """
import json, sys, time
start = time.perf_counter()
import estep
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "modules": sorted(sys.modules)}))
"""


def import_once() -> tuple[float, list[str]]:
    """Seconds of one import in a fresh process, and the top-level packages that it loaded."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    return float(report["seconds"]), sorted({name.split(".")[0] for name in report["modules"]})


def main() -> int:
    """Import several times; 1 if any heavy package came along."""
    runs = [import_once() for _ in range(RUNS)]
    heavy = sorted({name for _, packages in runs for name in packages} & set(HEAVY))
    print(f"import estep: {min(seconds for seconds, _ in runs) * 1000:.0f} ms, the shortest of {RUNS}")
    if heavy:
        print(f"import estep loads {', '.join(heavy)}: import them inside the functions that use them", file=sys.stderr)
    return int(bool(heavy))


if __name__ == "__main__":
    sys.exit(main())
