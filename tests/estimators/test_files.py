"""Model files: what is read is what was written, to the bit; a file is written whole or not at all."""

import dataclasses
import json
import os

import numpy as np
import pandas as pd
import pytest

import estep
from estep.core.codec import decode, encode

NAN = np.nan


def two_clusters(d=2):
    rng = np.random.default_rng(0)
    return np.vstack([rng.normal(size=(60, d)), rng.normal(size=(40, d)) * 0.8 + 3.0])


X = two_clusters()
PARTIAL = np.where(np.arange(100) % 5 == 0, (np.arange(100) >= 60).astype(int), -1)
CODES = ["EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"]


def mixture(**settings):
    return estep.GaussianMixture(**{"n_components": 2, "random_state": 0, "n_init": 2, **settings})


CASES = {
    **{name: lambda name=name: mixture(covariance_type=name).fit(X) for name in ("full", "tied", "diag", "spherical", *CODES)},
    "one-column": lambda: mixture(covariance_type="V").fit(X[:, :1]),
    "noise": lambda: mixture(noise=True).fit(X),
    "noise-density": lambda: mixture(noise=0.01).fit(X),
    "prior": lambda: mixture(prior="default").fit(X),
    "prior-settings": lambda: mixture(prior={"dof": 6, "mean": [0.0, 1.0], "weights": 2.0}).fit(X),
    "fixed-and-tied": lambda: mixture(fixed={"means": [[0, NAN], [NAN, NAN]]}, tied={"covariances": [0, 0]}).fit(X),
    "start-dict": lambda: mixture(init={"means": [[0, 0], [3, 3]]}).fit(X),
    "start-labels": lambda: mixture(init=np.repeat([0, 1], [60, 40])).fit(X),
    "labels": lambda: mixture().fit(X, PARTIAL),
    "names-of-classes": lambda: mixture().fit(X, np.where(PARTIAL < 0, None, np.where(PARTIAL, "b", "a"))),
    "weights": lambda: mixture().fit(X, sample_weight=np.arange(100) % 3),
    "columns": lambda: mixture().fit(pd.DataFrame(X, columns=["länge", "breite"])),
    "missing": lambda: mixture().fit(np.where(np.arange(200).reshape(100, 2) % 7 == 0, NAN, X)),
    "single-precision": lambda: mixture().fit(X.astype(np.float32)),
    "cem": lambda: mixture(algorithm="cem").fit(X),
    "variant": lambda: mixture(algorithm=estep.Variant()).fit(X),
    "numpy-settings": lambda: mixture(n_components=np.int64(2), tol=np.float64(1e-6)).fit(X),
    "mixture": lambda: estep.Mixture(estep.Normal("VEV"), 2, random_state=0).fit(X),
    "mixture-of-nothing-named": lambda: estep.Mixture(n_components=2, random_state=0).fit(X),
    "kmeans": lambda: estep.KMeans(3, random_state=0).fit(X),
    "kmeans-columns": lambda: estep.KMeans(2, init=[[0, 0], [3, 3]]).fit(pd.DataFrame(X, columns=["a", "b"])),
}


def fitted_attributes(estimator):
    return {name: value for name, value in vars(estimator).items() if name.endswith("_") and name != "result_"}


def same(one, other, name=""):
    """Equality to the bit, through dicts, tuples and records, types included."""
    if isinstance(one, np.ndarray | np.generic):
        assert type(one) is type(other), name
        assert (one.dtype, one.shape) == (other.dtype, other.shape), name
        np.testing.assert_array_equal(one, other, err_msg=name)
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            same(getattr(one, field.name), getattr(other, field.name), f"{name}.{field.name}")
    elif isinstance(one, dict):
        assert set(one) == set(other), name
        for key in one:
            same(one[key], other[key], f"{name}[{key!r}]")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), name
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            same(a, b, f"{name}[{i}]")
    else:
        assert one == other or (one != one and other != other), name


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_what_is_read_is_what_was_written(make, tmp_path):
    fit, path = make(), tmp_path / "model.safetensors"
    fit.save(path)
    again = estep.load(path)
    assert type(again) is type(fit)
    same(fitted_attributes(fit), fitted_attributes(again))
    same(dataclasses.replace(fit.result_, state=None), again.result_)
    rows = X[:, : fit.n_features_in_]
    if hasattr(fit, "feature_names_in_"):
        rows = pd.DataFrame(rows, columns=fit.feature_names_in_)
    np.testing.assert_array_equal(again.predict(rows), fit.predict(rows))
    assert again.score(rows) == fit.score(rows)
    if hasattr(fit, "sample"):
        np.testing.assert_array_equal(again.sample(5)[0], fit.sample(5)[0])
        assert again.bic(rows) == fit.bic(rows)
        assert again.summary() == fit.summary()
    # The settings come back, so that it can be fitted again.
    kept = {n: v for n, v in fit.get_params(deep=False).items() if n not in ("algorithm", "init")}
    same(kept, {n: again.get_params(deep=False)[n] for n in kept})
    again.fit(rows)


def test_a_file_is_small(tmp_path):
    rng = np.random.default_rng(1)
    mixture(n_components=1).fit(rng.normal(size=(50_000, 4))).save(tmp_path / "model")
    assert (tmp_path / "model").stat().st_size < 8_000


def test_a_random_state_that_is_not_a_number_is_left_out(tmp_path):
    mixture(random_state=np.random.RandomState(0)).fit(X).save(tmp_path / "model")
    assert estep.load(tmp_path / "model").random_state is None


def test_a_file_of_many_words_for_the_path(tmp_path, monkeypatch):
    fit = mixture().fit(X)
    monkeypatch.chdir(tmp_path)
    fit.save("beside")
    fit.save(tmp_path / "with spaces and ü")
    assert estep.load(str(tmp_path / "beside")).score(X) == estep.load(tmp_path / "with spaces and ü").score(X)
    with pytest.raises(FileNotFoundError):
        fit.save(tmp_path / "nowhere" / "model")
    with pytest.raises(FileNotFoundError):
        estep.load(tmp_path / "absent")
    with pytest.raises((ValueError, OSError)):
        estep.load(tmp_path)


# ---- families of one's own -----------------------------------------------------------------------------------------


class Stranger(estep.GaussianMixture):
    pass


def test_a_subclass_has_no_file_format(tmp_path):
    with pytest.raises(TypeError, match="cannot save Stranger: only estep's own"):
        Stranger(1).fit(X).save(tmp_path / "model")


@dataclasses.dataclass(frozen=True)
class Scaled:
    """A record of one's own."""

    factor: float
    table: np.ndarray


def test_records_of_ones_own_are_named_by_those_who_load():
    arrays = {}
    data = encode({"own": Scaled(2.0, np.eye(2))}, arrays, {"Scaled": Scaled})
    back = decode(json.loads(json.dumps(data)), arrays, {"Scaled": Scaled})["own"]
    assert isinstance(back, Scaled)
    np.testing.assert_array_equal(back.table, np.eye(2))
    with pytest.raises(ValueError, match="class 'Scaled' is unknown.*classes="):
        decode(data, arrays, {})
    with pytest.raises(TypeError, match="Scaled is not a known class; pass it in classes="):
        encode(Scaled(2.0, np.eye(2)), {}, {})


@pytest.mark.parametrize("value", [{1.5: 2}, object(), {3}, np.array([object()]), np.array([1j]), lambda: 0, int])
def test_what_is_no_data_is_not_written(value):
    with pytest.raises(TypeError, match="cannot save here"):
        encode(value, {}, {}, "here")


@pytest.mark.parametrize(
    "value",
    [
        *[None, True, 0, -1, 1e-300, 0.1, NAN, np.inf, -np.inf, "", "ü\n\0", [], (), {}, {"": 0}, [1, (2, [None])]],
        *[np.float64(0.1), np.int32(3), np.zeros((0, 3)), np.array([1.0, NAN]), np.array(["a", "bc"]), {"float": 1, "is": 2}],
        *[{1: "a", ("b", 2): [0.5], "c": {}}, {(): None}],
        *[2**60, -(2**60), np.arange(3, dtype=np.uint8), np.array([True]), np.ones((2, 3), order="F"), 5e-324],
    ],
    ids=repr,
)
def test_values_come_back(value):
    arrays = {}
    text = json.dumps(encode(value, arrays, {}), allow_nan=False)
    same(value, decode(json.loads(text), arrays, {}))


@pytest.mark.parametrize(
    "pairs",
    [3, [[1]], [[1, 2, 3]], {"1": 2}, [[{"list": []}, 1]], [[None, 1]], [[True, 1]], [[{"float": "nan"}, 1]]],
    ids=repr,
)
def test_pairs_that_are_none_are_refused(pairs):
    with pytest.raises(ValueError, match="header"):
        decode({"pairs": pairs}, {}, {})


# ---- writing is all or nothing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["fsync", "replace", "fdopen"])
@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()], ids=["disk", "ctrl-c"])
def test_a_failed_write_leaves_the_old_file(step, error, tmp_path, monkeypatch):
    path = tmp_path / "model"
    old, new = mixture(n_components=1).fit(X), mixture().fit(X)
    old.save(path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(f"estep.core.files.os.{step}", fail)
        with pytest.raises(type(error)):
            new.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"], "something was left behind"
    new.save(path)
    assert estep.load(path).n_components == 2


def test_a_value_that_cannot_be_saved_leaves_the_old_file(tmp_path):
    path = tmp_path / "model"
    fit = mixture().fit(X)
    fit.save(path)
    before = path.read_bytes()
    fit.prior = {1: object()}
    with pytest.raises(TypeError, match="cannot save settings.prior"):
        fit.save(path)
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_others_may_read_the_file(tmp_path):
    mask = os.umask(0o022)
    try:
        mixture().fit(X).save(tmp_path / "model")
    finally:
        os.umask(mask)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o644
