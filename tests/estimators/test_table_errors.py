"""Standard errors of tables with missing entries: closed forms, one truth by every method, and cells at zero."""

import warnings

import numpy as np
import pytest

import estep

ROWS = [[0, 0], [0, 1], [1, 0], [1, 1], [0, np.nan], [np.nan, 1]]
TIMES = [40, 10, 10, 40, 20, 15]


def test_complete_rows_have_the_multinomial_errors():
    times = np.array([40.0, 10.0, 10.0, 60.0])
    fit = estep.SaturatedMultinomial(tol=1e-13).fit(ROWS[:4], sample_weight=times)
    p = times.reshape(2, 2) / 120
    for method in ("oakes", "sem", "hessian", "opg", "sandwich"):
        found = fit.standard_errors(ROWS[:4], times, method=method)
        np.testing.assert_allclose(found["cells"], np.sqrt(p * (1 - p) / 120), rtol=1e-6)
    log_odds = found.of(
        lambda cells: np.log(cells["cells"][0, 0] * cells["cells"][1, 1] / cells["cells"][0, 1] / cells["cells"][1, 0])
    )
    assert log_odds[1][0, 0] == pytest.approx((1 / times).sum(), rel=1e-6)  # Woolf (1955)


def test_a_column_that_is_missing_in_part_has_factored_errors():
    """Monotone gaps: P(first) from all rows, P(second | first) from the complete ones (Little & Rubin 2002, section 13.2)."""
    rows, times = ROWS[:5], np.array([40.0, 10.0, 10.0, 40.0, 20.0])
    fit = estep.SaturatedMultinomial(tol=1e-13).fit(rows, sample_weight=times)
    a, b = 70 / 120, 40 / 50
    assert fit.cells_[0, 0] == pytest.approx(a * b, rel=1e-6)
    variance = b**2 * a * (1 - a) / 120 + a**2 * b * (1 - b) / 50
    assert fit.standard_errors(rows, times)["cells"][0, 0] == pytest.approx(np.sqrt(variance), rel=1e-6)
    told = fit.standard_errors(rows, times).complete
    assert np.sqrt(a * b * (1 - a * b) / 120) < 0.97 * np.sqrt(variance) and told.shape == (3, 3)  # negative control


@pytest.mark.parametrize("margins", [None, [(0,), (1,)]])
def test_every_method_agrees_and_weight_two_is_seen_twice(margins):
    fit = estep.SaturatedMultinomial(margins=margins, tol=1e-13).fit(ROWS, sample_weight=TIMES)
    judge = fit.standard_errors(ROWS, TIMES, method="hessian")
    for method in ("oakes", "sem") if margins is None else ("oakes",):
        np.testing.assert_allclose(fit.standard_errors(ROWS, TIMES, method=method)["cells"], judge["cells"], rtol=1e-5)
    seen = np.repeat(np.array(ROWS), TIMES, axis=0)
    for method in ("oakes", "sandwich"):
        np.testing.assert_allclose(
            fit.standard_errors(seen, method=method)["cells"],
            fit.standard_errors(ROWS, TIMES, method=method)["cells"],
            rtol=1e-9,
        )
    robust = fit.standard_errors(seen, method="sandwich", clusters=np.arange(135))
    np.testing.assert_allclose(robust["cells"], fit.standard_errors(seen, method="sandwich")["cells"], rtol=1e-9)


def test_zeros_of_both_kinds():
    rows, times = [[0, 0], [0, 1], [1, 0], [0, np.nan], [1, 2], [0, 2]], [30, 0, 5, 20, 9, 0]
    prior = [[1, 1, 1], [1, np.nan, 1]]
    fit = estep.SaturatedMultinomial(prior=prior, tol=1e-13).fit(rows, sample_weight=times)
    with pytest.warns(UserWarning, match="no standard error for .*at the boundary"):
        found = fit.standard_errors(rows, times)
    assert found.reasons["cells"].tolist() == [["", "boundary", "boundary"], ["", "fixed", ""]]
    p = 50 / 64  # 30 complete and 20 with the second column missing, all of them in the first cell
    assert found["cells"][0, 0] == pytest.approx(np.sqrt(p * (1 - p) / 64), rel=1e-4)


def test_intervals_tables_and_refusals():
    fit = estep.SaturatedMultinomial(tol=1e-13).fit(ROWS, sample_weight=TIMES)
    errors = fit.standard_errors(ROWS, TIMES)
    wald = fit.confint(ROWS, errors=errors)["cells"]
    profile = fit.confint(ROWS, sample_weight=TIMES, method="profile", which={"cells": (0, 0)})["cells"][0, 0]
    assert wald.shape == (2, 2, 2) and (wald[..., 0] > 0).all() and np.abs(profile - wald[0, 0]).max() < 0.01
    frame = fit.to_frame(errors=errors)
    assert frame["column"].tolist() == ["x0=0, x1=0", "x0=0, x1=1", "x0=1, x1=0", "x0=1, x1=1"]
    assert "x0=1, x1=0" in fit.to_latex(errors=errors).replace("$", "") and "s.e." in fit.summary(errors=errors)
    for method, kind, words in (
        ("louis", TypeError, "use method='oakes'"),
        ("bootstrap", ValueError, "is unknown; choose one of"),
    ):
        with pytest.raises(kind, match=words), warnings.catch_warnings():
            warnings.simplefilter("error")
            fit.standard_errors(ROWS, TIMES, method=method)
    assert not hasattr(estep.PLSA, "standard_errors") and not hasattr(estep.KMeans, "standard_errors")
