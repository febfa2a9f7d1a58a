"""The commands do what they say: files whole and right, tables, documents, codes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import estep
from estep.cli import progress, writing
from estep.data import Arrow

duckdb = pytest.importorskip("duckdb")
Run = Callable[..., Any]


def table(path: Path | str) -> tuple[list[str], dict[str, Any]]:
    """Names and columns of a Parquet or CSV file."""
    relation = duckdb.sql(f"SELECT * FROM '{path}'")
    return relation.columns, {name: np.ma.filled(values) for name, values in relation.fetchnumpy().items()}


# --- fit ---


def test_fit_writes_the_model_the_classes_and_the_report(here: Path, run: Run) -> None:
    done = run("fit faithful.csv --components 1:3 --covariance EEE,VVV --out best")
    assert done.code == 0
    assert done.err == ""
    assert "Gaussian mixture, 3 components, EEE" in done.out
    assert "BIC              2314.2957 (lower is better)" in done.out  # mclust 6: -2314.2957
    assert sorted(os.listdir("best")) == ["assignments.parquet", "model.safetensors", "report.html"]
    model = estep.load("best/model.safetensors")
    assert model.feature_names_in_.tolist() == ["eruptions", "waiting"]
    columns, found = table("best/assignments.parquet")
    assert columns == ["row", "class", "p_0", "p_1", "p_2", "uncertainty"]
    np.testing.assert_array_equal(found["row"], np.arange(1, 273))
    resp = model.predict_proba("faithful.csv")
    np.testing.assert_array_equal(np.stack([found[f"p_{j}"] for j in range(3)], axis=1), resp)
    np.testing.assert_array_equal(found["class"], model.predict("faithful.csv"))
    np.testing.assert_array_equal(found["uncertainty"], 1.0 - resp.max(axis=1))
    page = Path("best/report.html").read_text("utf-8")
    assert "estep fit faithful.csv --components 1:3 --covariance EEE,VVV --out best" in page


def test_a_fit_is_the_fit_of_the_estimator(here: Path, run: Run) -> None:
    document = run("fit faithful.csv --components 2 --covariance VVV --seed 3 --json").document
    fit = estep.GaussianMixture(2, covariance_type="VVV", random_state=3).fit("faithful.csv")
    assert document["result"]["log_likelihood"] == fit.log_likelihood_
    assert document["result"]["parameters"]["means"] == fit.means_.tolist()
    assert document["result"]["bic"] == pytest.approx(fit.bic("faithful.csv"), rel=1e-12)
    assert document["selection"] is None
    assert document["result"]["settings"]["random_state"] == 3


def test_the_document_is_all_of_stdout(here: Path, run: Run) -> None:
    done = run("fit faithful.csv --components 1:2 --covariance EII --json --out d")
    document = done.document
    assert document["command"] == "fit"
    assert [row["n_components"] for row in document["selection"]] == [1, 2]
    assert set(document["files"]) == {"model", "assignments", "report"}
    assert document["rows"] == 272


def test_weights_labels_and_names_of_rows(mixed: Path, run: Run) -> None:
    line = (
        "fit people.csv --columns height,visits --labels kind --weights times --id name --components 2 --covariance VVI --out o"
    )
    assert run(line).code == 0
    columns, found = table("o/assignments.parquet")
    assert columns == ["name", "class", "class_name", "p_0", "p_1", "uncertainty"]
    assert found["name"].tolist() == [f"r{i}" for i in range(200)]
    data = Arrow(mixed, columns=("height", "visits"), weights="times", labels="kind")
    fit = estep.GaussianMixture(2, covariance_type="VVI", random_state=0).fit(data)
    assert estep.load("o/model.safetensors").log_likelihood_ == fit.log_likelihood_
    told = data.known[:20]
    assert found["class_name"][:20].tolist() == told.tolist()
    assert (found["uncertainty"][:20] == 0).all()


def test_a_weight_of_nothing_still_has_a_class(here: Path, run: Run) -> None:
    Path("w.csv").write_text("x,w\n" + "".join(f"{i % 7}.{i},{i % 3}\n" for i in range(60)), "utf-8")
    assert run("fit w.csv --weights w --components 1 --out o").code == 0
    assert len(table("o/assignments.parquet")[1]["row"]) == 60


def test_noise_is_class_minus_one(here: Path, run: Run) -> None:
    assert run("fit faithful.csv --components 2 --covariance VVV --noise --out o").code == 0
    columns, found = table("o/assignments.parquet")
    assert columns[1:] == ["class", "p_0", "p_1", "p_noise", "uncertainty"]
    assert (found["class"] == -1).tolist() == (found["p_noise"] > np.maximum(found["p_0"], found["p_1"])).tolist()


def test_groups(mixed: Path, run: Run) -> None:
    done = run("fit people.csv --columns height --group colour --components 2 --covariance E --out o")
    assert done.code == 0
    assert "weight in group" in done.out
    assert "weight in group" in Path("o/report.html").read_text("utf-8")
    assert run("predict o/model.safetensors people.csv --group colour").code == 0
    assert "by is missing" in run("predict o/model.safetensors people.csv").err
    assert "--group takes one model" in run("fit people.csv --columns height --group colour").err


def test_the_report_replays_the_run(here: Path, run: Run) -> None:
    assert run("fit faithful.csv --columns eruptions,waiting --model kmeans --components 3 --out o").code == 0
    page = Path("o/report.html").read_text("utf-8")
    assert "cells of 3 cluster centres" in page
    assert 'class="player"' in page


def test_columns_of_no_use_are_left_out_aloud(mixed: Path, run: Run) -> None:
    done = run("fit people.csv --components 1 --covariance VVI --exclude times --json")
    assert done.document["left_out"] == ["name", "colour", "kind"]
    assert done.document["result"]["columns"] == ["visits", "height"]
    note = "left out name (text), colour (text), kind (text); --columns says which columns to use"
    assert done.document["notes"] == [note]
    assert done.err.splitlines()[0] == f"note: {note}"
    assert run("fit people.csv --components 1 --covariance VVI --exclude times --quiet").err == ""


def test_a_family_for_every_column(mixed: Path, run: Run) -> None:
    done = run("fit people.csv --exclude kind,times,name --column height=lognormal --components 2 --out o")
    assert done.code == 0
    assert "height: lognormal (as told)" in done.err
    assert "colour: categorical (3 levels)" in done.err
    assert run("predict o/model.safetensors people.csv").out.count("\n") == 201
    assert "write NAME=FAMILY" in run("fit people.csv --column height").err
    assert "has no column 'hight'; did you mean 'height'" in run("fit people.csv --column hight=gamma").err
    assert "not under --model gaussian" in run("fit people.csv --column height=gamma --model gaussian").err


def test_latent_classes_from_text(mixed: Path, run: Run) -> None:
    assert run("fit people.csv --model latent-class --columns colour,times --components 2 --n-init 2 --out o").code in (0, 3)
    Path("later.csv").write_text(mixed.read_text("utf-8").replace("red", "violet"), "utf-8")
    done = run("predict o/model.safetensors later.csv")
    assert done.code == 2
    assert re.search(r"later.csv: column 'colour' holds 'violet' in row \d+, unseen in fit", done.err)


def test_regressions_by_formula(here: Path, run: Run) -> None:
    pytest.importorskip("formulaic")
    line = ("fit faithful.csv --components 1:2 --n-init 3 --out o --formula", "waiting ~ eruptions")
    done = run(*line)
    assert done.code == 0
    assert "note: no model file: a fit by a formula cannot be kept in one" in done.err
    assert sorted(os.listdir("o")) == ["assignments.parquet", "report.html"]
    assert "--model gaussian has no --formula" in run("fit faithful.csv --model gaussian --formula", "y ~ x").err
    assert "--model regression needs a formula" in run("fit faithful.csv --model regression").err


def test_kmeans(here: Path, run: Run) -> None:
    done = run("fit faithful.csv --model kmeans --components 3 --n-init 2 --out o")
    assert done.code == 0
    assert "KMeans, 3 clusters: inertia" in done.out
    assert "give one number, such as --components 3" in run("fit faithful.csv --model kmeans").err
    assert "--model kmeans has no --tol" in run("fit faithful.csv --model kmeans --components 2 --tol 1").err


def test_a_fit_that_does_not_converge_is_code_3_and_said(here: Path, run: Run) -> None:
    done = run("fit faithful.csv --components 3 --covariance VVV --max-iter 2 --json")
    assert done.code == 3
    assert done.document["result"]["converged"] is False
    assert "stopped at max_iter=2 before convergence" in done.document["notes"][0]


def test_queries(here: Path, run: Run) -> None:
    done = run("fit faithful.csv --components 1 --json --query", "SELECT waiting / 60 AS hours FROM data WHERE eruptions > 3;")
    assert done.document["result"]["columns"] == ["hours"]
    assert done.document["rows"] == 175
    done = run("fit --components 1 --json --query", "SELECT eruptions FROM 'faithful.csv'")
    assert done.document["rows"] == 272


# --- predict, report, compare, demo ---


@pytest.fixture
def model(here: Path, run: Run) -> str:
    assert run("fit faithful.csv --components 2 --covariance VVV --out m").code == 0
    return "m/model.safetensors"


def test_predict_finds_columns_by_name_and_writes_every_format(model: str, run: Run) -> None:
    Path("new.csv").write_text("plant,waiting,more,eruptions\na,80,x,4.2\nb,50,y,1.9\nc,,z,4\n", "utf-8")
    done = run(f"predict {model} new.csv --id plant")
    assert done.out.splitlines()[0] == "plant,class,p_0,p_1,uncertainty"
    assert [line.split(",")[:2] for line in done.out.splitlines()[1:]] == [["a", "0"], ["b", "1"], ["c", "0"]]
    for name in ("p.parquet", "p.csv", "p.jsonl"):
        assert run(f"predict {model} new.csv --id plant --out {name}").code == 0
        assert table(name)[1]["class"].tolist() == [0, 1, 0]
    document = run(f"predict {model} new.csv --json").document
    assert (document["rows"], document["class_sizes"]) == (3, [2, 1])
    assert "p.csv is there already" in run(f"predict {model} new.csv --out p.csv").err
    assert "files ending in .xls cannot be written" in run(f"predict {model} new.csv --out p.xls").err


def test_large_results_lie_on_disk_and_are_the_same(model: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    small = run(f"predict {model} faithful.csv").out
    monkeypatch.setattr(writing, "SMALL", 0)
    assert run(f"predict {model} faithful.csv").out == small


def test_report(model: str, run: Run) -> None:
    done = run(f"report {model} faithful.csv --out page.html")
    assert (done.code, done.out) == (0, "report       page.html\n")
    assert "page.html is there already" in run(f"report {model} faithful.csv --out page.html").err
    assert run(f"report {model} faithful.csv --out page.html --force").code == 0


def test_compare(here: Path, run: Run) -> None:
    done = run("compare faithful.csv --components 2:3 --covariance EEE,VVV")
    assert done.out == (
        "bic, lower is better; * is the best, - could not be used\n\n"
        "     k         EEE         VVV\n"
        "     2     2325.22     2322.19\n"
        "     3    *2314.30     2349.71\n\n"
        "best: EEE with 3 components, bic 2314.2957 (lower is better)\n"
    )
    document = run("compare faithful.csv --components 2:3 --covariance EEE,VVV --json").document
    assert document["best"] == {"model": "EEE", "components": 3, "bic": document["tables"]["gaussian"][2]["bic"]}


def test_compare_models(mixed: Path, run: Run) -> None:
    done = run("compare people.csv --columns visits --model gaussian,poisson --components 1,2 --covariance V --criterion aic")
    assert done.code == 0
    assert re.search(r"^ +k +gaussian E? ?V? +poisson$", done.out, re.MULTILINE) or "poisson" in done.out
    assert "probabilities of counts and densities are compared" in done.err
    assert "--model kmeans has no criterion" in run("compare people.csv --model kmeans").err


def test_demo(here: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("estep.inference.select.STRUCTURES", ("EEE",))
    done = run("demo --out tour")
    assert "272 eruptions" in done.err
    assert "Gaussian mixture, 3 components, EEE" in done.out
    assert sorted(os.listdir("tour")) == ["assignments.parquet", "model.safetensors", "report.html"]


# --- progress ---


class Terminal:
    """A stderr that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


@pytest.mark.parametrize("rich", [False, True])
def test_progress_says_where_it_is_and_clears_its_line(
    rich: bool, here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rich:
        pytest.importorskip("rich")
    else:
        monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: None)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    shown = progress.Progress(4, shown=True)
    estimator = estep.GaussianMixture(random_state=0)
    from estep.engine.ledger import Ledger

    estimator._ledger = Ledger(told=shown.told)
    estep.select(estimator, "faithful.csv", dict(n_components=[2, 3], covariance_type=["EEE", "VVV"]))
    shown.close()
    if not rich:
        assert re.search(
            r"\rfit 2 of 4: n_components=2, covariance_type=VVV, start 1, pass \d+, objective -\d+\.\d{4}", terminal.text
        )
        assert "s left" in terminal.text
        assert terminal.text.endswith(" \r")
    assert shown.text("0 short", _state(), 1.0).startswith("fit ")
    quiet = progress.Progress(1, shown=False)
    quiet.told("0 short", _state())
    assert quiet.text("3 long", _state(), 1.0) == "start 4, pass 1, objective -5.0000"


def _state() -> Any:
    from estep.engine.state import begin

    state = begin(None, 0, None, 0.0)
    import dataclasses

    return dataclasses.replace(state, value=np.float64(-5.0), trace=np.array([-5.0]))


BARE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pyarrow", "pandas", "polars", "rich"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from estep.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_duckdb_and_nanoarrow_are_enough(here: Path) -> None:
    duckdb.sql("SELECT * FROM 'faithful.csv'").write_parquet("f.parquet")
    paths = os.pathsep.join(filter(None, [str(Path(estep.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    line = "fit f.parquet --components 2 --covariance EEE --out o"
    done = subprocess.run(
        [sys.executable, "-c", BARE, *line.split()],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(os.listdir("o")) == ["assignments.parquet", "model.safetensors", "report.html"]


@pytest.mark.filterwarnings("ignore")
def test_a_fit_on_workers_is_the_fit_here(here: Path, run: Run) -> None:
    pytest.importorskip("distributed")
    asked = "fit faithful.csv --components 2 --covariance VVV --json"
    alone = run(asked).document["result"]
    spread = run(f"{asked} --engine dask --workers 1").document["result"]
    assert spread["columns"] == alone["columns"]
    assert spread["log_likelihood"] == pytest.approx(alone["log_likelihood"], rel=1e-12)


def test_options_of_workers_belong_to_the_engine(here: Path, run: Run) -> None:
    done = run("fit faithful.csv --workers 2")
    assert done.code == 2
    assert "--workers and --scheduler belong to --engine dask" in done.err
    done = run("fit faithful.csv --engine dask --workers 0")
    assert "--workers is a whole number >= 1" in done.err


@pytest.fixture
def series(here: Path) -> Path:
    """Counts of units over days, with days that nobody wrote down."""
    rng = np.random.default_rng(4)
    lines = ["unit,date,count"]
    for unit in range(12):
        state, day = int(rng.integers(2)), 0
        for _ in range(30):
            state, day = (state if rng.random() < 0.9 else 1 - state), day + (1 if rng.random() < 0.9 else 2)
            lines.append(f"u{unit},{day},{rng.poisson(2 + 9 * state)}")
    (here / "series.csv").write_text("\n".join(lines) + "\n")
    return here / "series.csv"


def test_a_hidden_markov_model_from_a_series(series: Path, run: Run) -> None:
    import estep

    done = run("fit series.csv --model hmm --emission poisson --id unit --time date --states 1:3 --out seen --json")
    found = done.document
    assert (done.code, found["result"]["columns"]) == (0, ["count"])
    assert [cell["n_states"] for cell in sorted(found["selection"], key=lambda cell: cell["bic"])][0] == 2
    direct = estep.HMM(estep.Poisson(), 2, random_state=0).fit(series, sequence="unit", time="date")
    assert found["result"]["log_likelihood"] == pytest.approx(direct.log_likelihood_, abs=1e-6)
    told = duckdb.sql("SELECT unit, date, class FROM 'seen/assignments.parquet'").fetchall()
    assert [row[0] for row in told[:2]] == ["u0", "u0"] and len(told) == 360
    assert [row[2] for row in told] == direct.predict(series, sequence="unit", time="date").tolist()
    assert "Rows over time" in (series.parent / "seen" / "report.html").read_text("utf-8")
    again = run("predict seen/model.safetensors series.csv --id unit --time date --out again.csv")
    assert again.code == 0
    assert duckdb.sql("SELECT class FROM 'again.csv'").fetchall() == [(row[2],) for row in told]


def test_options_of_sequences_belong_to_models_of_sequences(series: Path, run: Run) -> None:
    assert "--model poisson has no --time; --model hmm has" in run("fit series.csv --model poisson --time date").err
    assert "there is no emission 'poison'; choose one of" in run("fit series.csv --model hmm --emission poison").err
    assert "time: column 'unit'" in run("fit series.csv --model hmm --time unit").err
    assert "--states is for --model hmm" in run("fit series.csv --states 2").err
    done = run("fit series.csv --model hmm --emission poisson --columns count --states 1")
    assert "all rows are taken as one sequence; --id names" in done.err
