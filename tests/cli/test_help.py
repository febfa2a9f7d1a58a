"""Help answers at once, shows an example for every command, and offers what the estimators have."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import estep
from estep.cli.main import COMMANDS, build_parser
from estep.cli.models import MODELS, SETTINGS, Kind
from estep.cli.words import counts, names, plain

SOURCE = str(Path(estep.__file__).parents[1])
LOADED = "import sys, json, atexit; atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr)); "


def environment() -> dict[str, str]:
    paths = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": paths}


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    program = f"{LOADED}from estep.cli.main import main; main({[*command, '--help']!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr)}
    assert not loaded & {"numpy", "scipy", "sklearn", "numba", "pandas", "duckdb", "nanoarrow", "matplotlib", "rich", "jinja2"}
    assert "example" in done.stdout
    assert "exit codes: 0 done, 2 wrong usage or data, 3 did not converge, 130 interrupted" in done.stdout


def test_the_module_and_the_script_are_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "estep", "--version"], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout == f"estep {estep.__version__}\n"
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text("utf-8")
    assert '[project.scripts]\nestep = "estep.cli.main:main"\n' in project


@pytest.mark.parametrize("name", MODELS)
def test_every_model_in_the_table_is_there(name: str) -> None:
    kind = MODELS[name]
    estimator = getattr(estep, kind.estimator)()
    assert kind.count in estimator.get_params()
    assert kind.family is None or hasattr(estep.families, kind.family)
    assert kind.covariances == ("covariance_type" in estimator.get_params())
    assert kind.ranked == hasattr(estimator, "bic")


def test_every_setting_with_an_option_is_a_parameter() -> None:
    known = set(estep.GaussianMixture().get_params())
    assert set(SETTINGS.values()) | {"prior", "noise", "random_state"} <= known
    options = vars(build_parser().parse_args(["fit", "x.csv"]))
    assert set(SETTINGS) <= set(options)
    assert not any(options[name] for name in SETTINGS)  # the estimators' own defaults hold


def test_examples_in_the_help_parse() -> None:
    for _, example, _ in COMMANDS.values():
        for line in re.findall(r"^(?:example: |  )estep (.*)$", example, re.MULTILINE):
            assert build_parser().parse_args(line.split()).command in COMMANDS


@pytest.mark.parametrize(
    "line, words",
    [
        ("", "the following arguments are required: COMMAND (see estep --help)"),
        ("fits x.csv", "invalid choice: 'fits'"),
        ("fit", "give DATA or --query (see estep fit --help)"),
        ("fit x.csv --components 0", "'0' is no number of components; write 3, or 1:9, or 2,4,6 (from 1 up)"),
        ("fit x.csv --components 9:1", "'9:1' is no number of components"),
        ("fit x.csv --columns a,,b", "'a,,b' has an empty name"),
        ("fit x.csv --seed x", "argument --seed: invalid int value: 'x'"),
        ("fit x.csv --unknown", "unrecognized arguments: --unknown"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(line: str, words: str, run: Callable[..., Any]) -> None:
    done = run(line)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert words in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


def test_words_on_the_command_line() -> None:
    assert [counts(text) for text in ("3", "1:3", "2,4,6")] == [(3,), (1, 2, 3), (2, 4, 6)]
    assert names(r"a, b\,c") == ("a", "b,c")
    assert plain({"a": [1.0, float("nan")], 2: (float("inf"), None, True)}) == {"a": [1.0, None], "2": [None, None, True]}
    assert Kind("words").estimator == "Mixture"
