"""Standard errors of hidden Markov models against a Hessian in R: the counts of earthquakes, and depmixS4's reaction times.

``hmm_errors.json`` comes from ``scripts/hmm_errors.R``, a forward algorithm of its own with numDeriv's Richardson
extrapolation, which is depmixS4's way too (a finite-difference Hessian with the estimates at the boundary held). The reaction
times are its first example (Visser & Speekenbrink 2010, J. Stat. Software 36(7)), the three series joined into one; their file
is not the project's to copy and is read where it lies beside it.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import estep

HERE = Path(__file__).parent
FOUND = json.loads((HERE / "hmm_errors.json").read_text(encoding="utf-8"))
SPEED = HERE.parents[1].parent / "shared" / "golden" / "data" / "speed_rt.csv"
QUAKES = np.fromstring(
    """
    13 14 8 10 16 26 32 27 18 32 36 24 22 23 22 18 25 21 21 14 8 11 14 23 18 17 19 20 22 19 13 26 13 14 22 24 21 22 26 21
    23 24 27 41 31 27 35 26 28 36 39 21 17 22 17 19 15 34 10 15 22 18 15 20 15 22 19 16 30 27 29 23 20 16 21 21 25 16 18 15
    18 14 10 15 8 15 6 11 8 7 18 16 13 12 13 20 15 16 12 18 15 16 13 15 16 11 11
    """,
    sep=" ",
)[:, None]


def told(fit, x, method):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the start of one sequence is at the boundary
        return fit.standard_errors(x, method=method)


@pytest.mark.parametrize("method", ["oakes", "louis", "sem", "hessian"])
def test_earthquakes(method):
    expected = FOUND["earthquakes"]
    fit = estep.PoissonHMM(2, tol=1e-13, random_state=0).fit(QUAKES)
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=1e-8)
    errors = told(fit, QUAKES, method)
    assert fit.rates_[:, 0] == pytest.approx([expected["estimate"][n] for n in ("rate1", "rate2")], rel=1e-6)
    assert errors["rates"][:, 0] == pytest.approx([expected["se"][n] for n in ("rate1", "rate2")], rel=1e-5)
    moves = errors["transmat"]
    assert (moves[0, 1], moves[1, 0]) == pytest.approx((expected["se"]["a12"], expected["se"]["a21"]), rel=1e-5)
    assert moves[0, 0] == pytest.approx(moves[0, 1], rel=1e-9)  # two that sum to one


@pytest.mark.parametrize("method", ["oakes", "louis", "hessian"])
def test_reaction_times(method):
    if not SPEED.exists():
        pytest.skip("speed_rt.csv is not shipped with the project, and is not beside it")
    expected, x = FOUND["speed_joined"], pd.read_csv(SPEED)[["rt"]]
    init = {
        "startprob": [0.5, 0.5],
        "transmat": [[0.9, 0.1], [0.1, 0.9]],
        "means": [[5.5], [6.5]],
        "covariances": [[[0.1]], [[0.1]]],
    }
    fit = estep.GaussianHMM(2, init=init, tol=1e-13).fit(x)
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=1e-8)
    errors = told(fit, x, method)
    se = expected["se"]
    assert errors["means"][:, 0] == pytest.approx([se["mean1"], se["mean2"]], rel=1e-5)
    assert errors["covariances"][:, 0, 0] == pytest.approx([se["variance1"], se["variance2"]], rel=1e-5)
    assert (errors["transmat"][0, 1], errors["transmat"][1, 0]) == pytest.approx((se["a12"], se["a21"]), rel=1e-5)
