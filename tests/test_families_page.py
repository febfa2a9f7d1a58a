"""docs/families.md says the same as the code: every family has its lines, and may miss what its line says."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import estep
from estep import families
from estep.data import Memory

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "families.md").read_text("utf-8")
WORDS = {
    "entries": "any entry",
    "first": "any entry",
    "rows": "whole rows",
    "response": "the response",
    "bounds": "both bounds",
}


def table_of_families() -> ModuleType:
    spec = importlib.util.spec_from_file_location("every_family", ROOT / "tests" / "every_family.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["every_family"] = module
    spec.loader.exec_module(module)
    return module


EVERY = table_of_families()


def lines(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its first two lines."""
    table = re.search(rf"^##+ {re.escape(heading)}.*?(^\|.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert table is not None, heading
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[1].splitlines()[2:]]


LINES = {cells[0].strip("` |"): cells for cells in lines("Every family, and what may be missing")}


def test_every_family_has_a_line() -> None:
    assert sorted(LINES) == sorted(families.__all__)


@pytest.mark.parametrize("case", EVERY.CASES, ids=lambda case: case.name)
def test_what_may_be_missing_is_what_the_line_says(case: Any) -> None:
    assert LINES[case.name][3].startswith(WORDS[case.gaps])


@pytest.mark.parametrize("case", EVERY.CASES, ids=lambda case: case.name)
def test_a_row_of_which_nothing_is_known_has_density_one(case: Any) -> None:
    rng = np.random.default_rng(3)
    x = case.draw(np.arange(60) % case.k, rng)
    nothing = x[1] if isinstance(x, tuple) else x
    nothing = np.asarray(nothing, dtype=float)
    nothing[7] = np.nan
    x = (x[0], nothing) if isinstance(x, tuple) else nothing
    family = case.family.bind(Memory(x)) if hasattr(case.family, "bind") else case.family
    encode = getattr(family, "encode", lambda rows: rows)
    found = family.log_density(family.start(case.k), encode(x))
    assert (found[7] == 0).all()
    assert np.isfinite(found).any(axis=1).all()


@pytest.mark.parametrize("case", [c for c in EVERY.CASES if c.name in ("Multinomial", "VonMisesFisher")], ids=lambda c: c.name)
def test_whole_rows_means_that_an_entry_alone_is_refused(case: Any) -> None:
    x = case.draw(np.arange(60) % case.k, np.random.default_rng(3))
    x[5, 1] = np.nan
    with pytest.raises(ValueError, match="whole"):
        estep.Mixture(case.family, case.k).fit(x)


@pytest.mark.parametrize("case", EVERY.CASES, ids=lambda case: case.name)
def test_the_parameters_are_named_as_they_are(case: Any) -> None:
    told = set(re.findall(r"`([a-z_]+)`", LINES[case.name][1]))
    own = set(case.family.names)
    if case.name in ("Censored", "Truncated", "WithNoise", "Mixed", "ZeroInflated"):  # "those within", and their own
        own -= set(case.family.family.names)
    if not any("." in name for name in own):
        assert told == own


def test_every_family_is_in_the_tables_of_choice_and_of_priors() -> None:
    chosen = " ".join(" ".join(cells) for cells in lines("By what a column is"))
    priors = " ".join(" ".join(cells) for cells in lines("Default priors"))
    ways = {"WithNoise": "noise=True", "Uniform": "noise=True", "ZeroResponse": "MixtureOfRegressions"}
    regressions = {name: "MixtureOfRegressions" for name in families.__all__ if name.endswith("Regression")}
    assert [name for name in families.__all__ if {**ways, **regressions}.get(name, name) not in chosen] == []
    assert [name for name in families.__all__ if f"`{name}`" not in priors] == []
