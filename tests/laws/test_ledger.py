"""A fit that is cut off, and asked for again with its ledger, ends at the same bits; the ledger of another is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import estep
from estep.core.files import read_arrays, write_arrays
from estep.core.record import leaves
from estep.engine.ledger import KIND, Ledger, load_ledger, save_ledger


class CutOff(Exception):
    """What stands for a kill."""


def data() -> Any:
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 2)) + 1.5 * rng.integers(3, size=(300, 1))


def mixture() -> Any:
    return estep.GaussianMixture(3, covariance_type="VVV", n_init=5, random_state=0, accelerate="squarem", prior=None)


def rescued() -> Any:
    return estep.GaussianMixture(2, covariance_type="VVV", n_init=3, random_state=0)


def kmeans() -> Any:
    return estep.KMeans(4, init="kmeans++", n_init=4, random_state=0)


def flat() -> Any:
    """Rows on a line: every start collapses, and the default prior comes to the rescue in runs of its own."""
    x = data()
    x[:, 1] = 2.0 * x[:, 0]
    return x


def fitted(estimator: Any, x: Any, ledger: Ledger | None) -> Any:
    estimator._ledger = ledger
    return estimator.fit(x)


def passes(estimator: Any, x: Any) -> int:
    """How often the ledger of a whole fit is told."""
    count: list[str] = []
    fitted(estimator, x, Ledger(told=lambda run, state: count.append(run)))
    return len(count)


def cut_off_at(n: int, estimator: Any, x: Any, path: Path, saved: Any = None) -> None:
    """Fit until the ledger was told ``n`` times, and keep it in a file."""
    told: list[str] = []

    def count(run: str, state: Any) -> None:
        told.append(run)
        if len(told) == n:
            raise CutOff

    ledger = Ledger(saved=saved or {}, told=count)
    with pytest.raises(CutOff):
        fitted(estimator, x, ledger)
    save_ledger(ledger, path, {"mark": "here"})


def bits(estimator: Any) -> list[bytes]:
    result = estimator.result_
    starts = [(r.start, r.objective, r.passes, r.status.name) for r in result.starts.rows]
    return [np.asarray(v).tobytes() for _, v in leaves(result.params)] + [
        result.trace.objective.tobytes(),
        repr(starts).encode(),
    ]


@pytest.mark.filterwarnings("ignore::estep.ConvergenceWarning")
@pytest.mark.parametrize(
    "make, x", [(mixture, data()), (rescued, flat()), (kmeans, data())], ids=["mixture", "rescued", "kmeans"]
)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.99])
def test_cut_off_and_resumed_is_the_same_to_the_bit(make: Any, x: Any, share: float, tmp_path: Path) -> None:
    path, whole = tmp_path / "ledger", make().fit(x)
    at = max(1, int(share * passes(make(), x)))
    cut_off_at(at, make(), x, path)
    saved, header = load_ledger(path)
    assert header["mark"] == "here"
    again: list[str] = []
    resumed = fitted(make(), x, Ledger(saved=saved, told=lambda run, state: again.append(run)))
    assert bits(resumed) == bits(whole)
    assert len(again) < passes(make(), x) or at <= 2  # the passes that were made are not made again


def test_cut_off_twice(tmp_path: Path) -> None:
    path, x = tmp_path / "ledger", data()
    cut_off_at(10, mixture(), x, path)
    cut_off_at(20, mixture(), x, path, load_ledger(path)[0])
    assert bits(fitted(mixture(), x, Ledger(saved=load_ledger(path)[0]))) == bits(mixture().fit(x))


def test_a_table_of_fits_goes_on_too(tmp_path: Path) -> None:
    x, grid, path = data(), dict(n_components=[1, 2, 3], covariance_type=["EEE", "VVV"]), tmp_path / "ledger"

    def chosen(ledger: Ledger) -> Any:
        estimator = estep.GaussianMixture(random_state=0)
        estimator._ledger = ledger
        return estep.select(estimator, x, grid)

    runs: list[str] = []
    whole = chosen(Ledger(told=lambda run, state: runs.append(run)))
    assert any(run.startswith("scout n_components=2, covariance_type=EEE/") for run in runs)
    assert any(run.startswith("fit ") for run in runs)  # the close ones, once more in full

    def cut(run: str, state: Any) -> None:
        if run == runs[len(runs) // 2] and len(state.trace) >= 2:
            raise CutOff

    ledger = Ledger(told=cut)
    with pytest.raises(CutOff):
        chosen(ledger)
    save_ledger(ledger, path, {})
    resumed = chosen(Ledger(saved=load_ledger(path)[0]))
    assert [(c.criterion, c.log_likelihood) for c in resumed.table] == [(c.criterion, c.log_likelihood) for c in whole.table]
    assert bits(resumed.best_) == bits(whole.best_)


def test_a_changed_state_changes_the_fit(tmp_path: Path) -> None:
    """The negative control: what the ledger holds is used."""
    path, x = tmp_path / "ledger", data()
    cut_off_at(passes(mixture(), x) - 1, mixture(), x, path)
    saved, _ = load_ledger(path)
    moved = {name: (variant, {**arrays, "trace": arrays["trace"] - 1.0}) for name, (variant, arrays) in saved.items()}
    assert bits(fitted(mixture(), x, Ledger(saved=moved))) != bits(mixture().fit(x))


def test_the_ledger_of_another_model_is_refused(tmp_path: Path) -> None:
    path, x = tmp_path / "ledger", data()
    cut_off_at(12, mixture(), x, path)
    saved, _ = load_ledger(path)
    for other in (mixture().set_params(n_components=2), mixture().set_params(accelerate="anderson")):
        with pytest.raises(ValueError, match="run '0 short' belongs to another model; resume with the options of that fit"):
            fitted(other, x, Ledger(saved=saved))


def test_a_damaged_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    cut_off_at(12, mixture(), data(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="ledger"):
        load_ledger(path)
    path.write_bytes(whole)
    arrays, header = read_arrays(path, KIND)
    for odd in ({"nonsense": np.zeros(1)}, {"99:trace": np.zeros(1)}):
        write_arrays(path, KIND, {**arrays, **odd}, {"runs": header["runs"]})
        with pytest.raises(ValueError, match="its runs are not listed as they are held"):
            load_ledger(path)
