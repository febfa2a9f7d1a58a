"""What a first user brings to the shell: files of other countries, formulas with text beside them, models that do not fit."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd


def european(folder, name="eu.csv"):
    values = np.random.default_rng(0).normal(size=(40, 2))
    text = "a;b\n" + "".join(f"{x:.3f};{y:.3f}\n".replace(".", ",") for x, y in values)
    (folder / name).write_text(text)
    return text, values


def test_semicolons_with_decimal_commas_are_not_taken_for_three_columns(run, here):
    text, values = european(here)
    done = run("fit eu.csv --components 1 --covariance EII")
    assert done.code == 2 and "a decimal comma? Then set decimal to ','" in done.err
    done = run("fit eu.csv --decimal , --components 1 --covariance EII --json")
    assert done.document["result"]["columns"] == ["a", "b"]
    np.testing.assert_allclose(done.document["result"]["parameters"]["means"], values.round(3).mean(axis=0)[None], atol=1e-12)
    (here / "eu.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert run("fit eu.csv.gz --decimal , --components 1 --covariance EII --json").document["result"]["columns"] == ["a", "b"]


def test_lines_before_the_names_are_still_passed_over(run, here):
    (here / "told.csv").write_text("# made today; by hand\na,b\n1,2\n3,5\n4,5\n7,1\n")
    assert run("fit told.csv --components 1 --covariance EII --json").document["result"]["columns"] == ["a", "b"]


def test_a_pattern_without_files_is_not_mended_by_guesses(run, here):
    done = run("fit", "part-*.parquet")
    assert done.code == 2 and "no file has a name like part-*.parquet" in done.err and "did you mean" not in done.err


def test_formulas_with_text_beside_them_are_reported(run, here):
    rng = np.random.default_rng(0)
    x, z = rng.uniform(0, 10, 60), np.arange(60) % 2
    y = np.where(z, 1 + 2 * x, 20 - x) + rng.normal(0, 0.5, 60)
    pd.DataFrame({"y": y, "x": x, "g": rng.choice(["u", "v"], 60)}).to_csv("reg.csv", index=False)
    for formula in ("y ~ x", "y ~ x + g"):
        done = run("fit reg.csv --components 2 --n-init 3 --out out --force --formula", formula)
        assert done.code == 0, done.err
        assert (here / "out" / "report.html").stat().st_size > 10_000
    done = run("fit reg.csv --components 2 --formula", "x")
    assert done.code == 2 and "formula 'x' has no response; write 'y ~ ...'" in done.err


def test_one_model_that_cannot_be_fitted_does_not_hide_the_others(run, here):
    done = run("compare faithful.csv --model gaussian,poisson --components 1:2 --covariance EEE")
    assert done.code == 0
    assert "poisson could not be fitted" in done.err and "gaussian EEE" in done.out
    assert run("compare faithful.csv --model bernoulli,poisson --components 1:2").code == 2


def test_wrong_settings_are_refused_and_not_passed_by(run, here):
    for wrong, words in (
        ("--init foo", "init='foo' is unknown"),
        ("--tol -1", "tol must be"),
        ("--n-init 0", "n_init must be"),
    ):
        done = run(f"fit faithful.csv --components 1:2 --covariance EEE {wrong}")
        assert done.code == 2 and words in done.err, done


def test_values_of_a_response_do_not_name_classes_of_rows(run, here):
    rng = np.random.default_rng(0)
    x = rng.normal(size=120)
    y = (rng.random(120) < 1 / (1 + np.exp(-2 * x))).astype(int)
    pd.DataFrame({"y": y, "x": x}).to_csv("reg.csv", index=False)
    options = "--model logistic-regression --components 2 --n-init 2 --prior default --out out"
    done = run(f"fit reg.csv {options} --formula", "y ~ x")
    assert done.code == 0, done.err
    assert "class_name" not in pd.read_parquet("out/assignments.parquet").columns
