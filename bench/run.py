"""The one command: ``python bench/run.py [--only ROW] [--json FILE] [--quick]`` prints a table of ratios and writes JSON."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROWS = ("gmm_pass", "slow_mixtures", "slow_suite", "visits", "online", "searches")
ROWS += ("select_faithful", "kmeans", "latent_class", "mixed_columns", "baum_welch", "semimarkov")
ROWS += ("kd_tree", "motif_starts", "memory", "from_parquet", "scale", "imports", "stages")


def main(arguments: list[str] | None = None) -> int:
    """Run the rows, print the table, write the file; 0 whatever the ratios: budgets are not tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=ROWS, help="one row of the table; may be repeated")
    parser.add_argument("--json", type=Path, default=HERE / "results.json", help="where the results go")
    parser.add_argument("--quick", action="store_true", help="small problems and few repeats: for trying things out")
    parser.add_argument("--repeats", type=int, help="interleaved pairs of each timing (2 with --quick, else 7)")
    chosen = parser.parse_args(arguments)
    sys.path[:0] = [str(HERE), str(HERE.parent / "src")]
    import measure
    import rivals

    plan = measure.Plan(chosen.repeats or (2 if chosen.quick else 7), chosen.quick)
    environment = rivals.environment()
    print("  ".join(f"{name} {version}" for name, version in environment.items()), flush=True)
    print(_text(HEAD), flush=True)
    for name in chosen.only or ROWS:
        found = []
        for line in importlib.import_module(name).run(plan):
            found.append(dataclasses.asdict(line))
            print(_text(cells(line)), flush=True)
        keep(chosen.json, environment, dataclasses.asdict(plan), name, found)
    return 0


def keep(path: Path, environment: dict[str, str], plan: dict[str, Any], row: str, lines: list[dict[str, Any]]) -> None:
    """Put the lines of one row into the file; lines of other rows stay if they were made in the same environment."""
    rows: dict[str, Any] = {}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        rows = before["rows"] if before.get("environment") == environment else {}
    rows[row] = {"plan": plan, "lines": lines}
    report = {"environment": environment, "rows": {name: rows[name] for name in ROWS if name in rows}}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


HEAD = ("row", "case", "against", "ours", "theirs", "unit", "ratio", "goal", "met", "note")
WIDTHS = (15, 30, 24, 9, 9, 11, 8, 12, 4, 0)


def cells(line: Any) -> tuple[str, ...]:
    """The cells of one line of the table, in the order of HEAD."""
    word = {None: "", True: "yes", False: "NO"}
    return (
        line.row, line.case, line.rival, _number(line.ours), _number(line.theirs), line.unit,
        _number(line.ratio), line.goal, word[line.met], line.note,
    )  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _text(parts: tuple[str, ...]) -> str:
    return " ".join(part.ljust(width) for part, width in zip(parts, WIDTHS, strict=True)).rstrip()


if __name__ == "__main__":
    sys.exit(main())
