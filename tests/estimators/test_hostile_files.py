"""Damaged and hostile model files are refused in words, soon, and nothing in them is ever run."""

import contextlib
import json
import os
import time

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import estep

NAN = np.nan


def two_clusters(d=2):
    rng = np.random.default_rng(0)
    return np.vstack([rng.normal(size=(60, d)), rng.normal(size=(40, d)) * 0.8 + 3.0])


X = two_clusters()


def mixture(**settings):
    return estep.GaussianMixture(**{"n_components": 2, "random_state": 0, **settings})


# ---- damage --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small model file: its bytes, its arrays and its header."""
    path = tmp_path_factory.mktemp("good") / "model"
    mixture(prior="default", fixed={"weights": [0.5, NAN]}, n_init=1).fit(pd.DataFrame(X, columns=["a", "b"])).save(path)
    with safe_open(path, framework="numpy") as file:
        return path.read_bytes(), {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata())  # noqa: SIM118


def refused(path, *words):
    """Loading raises ValueError that names the file and the reason, soon."""
    began = time.monotonic()
    with pytest.raises(ValueError, match=r".") as caught:
        estep.load(path)
    assert time.monotonic() - began < 5.0
    text = str(caught.value)
    assert str(path) in text
    assert len(text) < 3_000
    assert [word for word in words if word not in text] == [], text


def test_cut_short(good, tmp_path):
    payload, path = good[0], tmp_path / "model"
    for length in sorted({0, 1, 7, 8, 9, 100, *range(0, len(payload), 97), len(payload) - 1}):
        path.write_bytes(payload[:length])
        refused(path, "not a readable estep file")
    path.write_bytes(payload + b"more")
    refused(path, "not a readable estep file")


def test_flipped_bits(good, tmp_path):
    """A flipped bit gives an error in words, or a model whose numbers differ; never anything else."""
    payload, path = bytearray(good[0]), tmp_path / "model"
    rng = np.random.default_rng(2)
    outcomes = {"refused": 0, "read": 0}
    for at in rng.choice(len(payload), 400, replace=False):
        damaged = payload.copy()
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            fit = estep.load(path)
        except ValueError as error:
            assert str(path) in str(error)
            outcomes["refused"] += 1
        else:
            assert np.isfinite(fit.means_).all()
            assert fit.predict(pd.DataFrame(X[:3], columns=fit.feature_names_in_)).shape == (3,)
            outcomes["read"] += 1
    assert min(outcomes.values()) > 10, outcomes


def test_another_kind_of_file(tmp_path):
    path = tmp_path / "model"
    for payload in (b"PK\x03\x04", b"\x80\x04\x95", b"{}", b"\x00" * 100, b"\xff" * 100, b"import os\n" * 50):
        path.write_bytes(payload)
        refused(path, "not a readable estep file")
    save_file({"x": np.zeros(3)}, path)
    refused(path, "expected an estep model")
    save_file({"x": np.zeros(3)}, path, metadata={"estep": "state", "version": "1"})
    refused(path, "'state'", "expected an estep model")


@pytest.mark.parametrize("version", ["2", "999999", "0", "-1", "1.0", "", "²", "one", "9" * 5000])
def test_another_version(version, good, tmp_path):
    save_file(good[1], tmp_path / "model", metadata={**good[2], "version": version})
    refused(tmp_path / "model", "version", "update estep")


# ---- malice --------------------------------------------------------------------------------------------------------


def write(path, good, change, arrays=None, **header):
    """The good file with its JSON changed in place by ``change``."""
    state = json.loads(good[2]["state"])
    changed = change(state)
    text = changed if isinstance(changed, str) else json.dumps(state if changed is None else changed)
    save_file(good[1] if arrays is None else arrays, path, metadata={**good[2], "state": text, **header})


def fields(state):
    return state["result"]["fields"]


HOSTILE = {
    "no-json": lambda s: "{",
    "not-a-number": lambda s: '{"settings": NaN}',
    "deep-lists": lambda s: "[" * 200_000,
    "deep-dicts": lambda s: '{"dict":{"a":' * 50_000 + "1" + "}}" * 50_000,
    "deep-enough-to-parse": lambda s: s.update(settings=json.loads('{"list":[' * 300 + "1" + "]}" * 300)),
    "long-number": lambda s: '{"settings": ' + "9" * 6_000 + "}",
    "a-list": lambda s: [1, 2],
    "parts-missing": lambda s: s.pop("columns") and None,
    "part-too-many": lambda s: s.update(code="import os"),
    "unknown-class": lambda s: s["result"].update({"is": "Popen"}),
    "path-of-a-class": lambda s: s["result"].update({"is": "os.system"}),
    "path-of-a-file": lambda s: s["result"].update({"is": "../../estep/core/result.Result"}),
    "private-class": lambda s: s["result"].update({"is": "__class__"}),
    "class-is-a-list": lambda s: s["result"].update({"is": ["Result"]}),
    "another-known-class": lambda s: s["result"].update({"is": "Trace"}),
    "extra-field": lambda s: fields(s).update(evil=1),
    "dunder-field": lambda s: fields(s).update(__init__=1),
    "field-missing": lambda s: fields(s).pop("params") and None,
    "extra-key-beside": lambda s: s["result"].update(call="os.system"),
    "params-a-dict": lambda s: fields(s).update(params={"dict": {}}),
    "params-a-number": lambda s: fields(s).update(params=3),
    "model-a-list": lambda s: fields(s).update(model={"list": []}),
    "family-a-string": lambda s: fields(s)["model"]["fields"].update(family="Normal"),
    "family-a-status": lambda s: fields(s)["model"]["fields"].update(family={"enum": "Status", "name": "RUNNING"}),
    "too-many-components": lambda s: fields(s)["model"]["fields"].update(k=10**12),
    "components-a-text": lambda s: fields(s)["model"]["fields"].update(k="2"),
    "covariance-type": lambda s: fields(s)["model"]["fields"]["family"]["fields"].update(covariance_type="VEV; rm"),
    "no-anchor": lambda s: fields(s)["model"]["fields"]["family"]["fields"].update(anchor=None),
    "unknown-status": lambda s: fields(s)["status"].update(name="FINE"),
    "status-a-list": lambda s: fields(s)["status"].update(name=["CONVERGED"]),
    "status-a-text": lambda s: fields(s).update(status="CONVERGED"),
    "n-a-text": lambda s: fields(s).update(n="many"),
    "trace-a-text": lambda s: fields(s).update(trace="-1, -2"),
    "starts-a-text": lambda s: fields(s).update(starts="ten"),
    "unknown-number": lambda s: fields(s).update(rate={"float": "__import__('os')"}),
    "array-missing": lambda s: fields(s)["params"]["fields"]["structure"]["fields"].update(weights={"array": "absent"}),
    "array-name-a-list": lambda s: fields(s)["params"]["fields"]["structure"]["fields"].update(weights={"array": ["x"]}),
    "strings-nested": lambda s: s["columns"]["dict"].update(feature_names_in_={"strings": [["a"], "b"]}),
    "settings-a-list": lambda s: s.update(settings={"list": []}),
    "unknown-setting": lambda s: s["settings"]["dict"].update(evil=1),
    "setting-out-of-range": lambda s: s["settings"]["dict"].update(max_iter=-1),
    "other-number-of-components": lambda s: s["settings"]["dict"].update(n_components=3),
    "noise-that-is-not-there": lambda s: s["settings"]["dict"].update(noise=True),
    "column-is-a-method": lambda s: s["columns"]["dict"].update(predict="os.system"),
    "column-is-a-dunder": lambda s: s["columns"]["dict"].update(__class__="KMeans"),
    "no-columns": lambda s: s["columns"]["dict"].clear(),
    "columns-miscounted": lambda s: s["columns"]["dict"].update(n_features_in_=3),
    "columns-misnamed": lambda s: s["columns"]["dict"].update(feature_names_in_={"strings": ["a", "b", "c"]}),
    "labels-a-text": lambda s: s["columns"]["dict"].update(labels_="abc"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers(change, good, tmp_path):
    write(tmp_path / "model", good, change)
    refused(tmp_path / "model")


def test_the_unchanged_header_is_read(good, tmp_path):
    """The control of the tests above: written back as it was, the file is good."""
    write(tmp_path / "model", good, lambda state: None)
    assert estep.load(tmp_path / "model").n_components == 2


@pytest.mark.parametrize("name", ["Popen", "", "estep.KMeans", "Normal", "KMeans"])
def test_another_estimator(name, good, tmp_path):
    write(tmp_path / "model", good, lambda state: None, estimator=name)
    refused(tmp_path / "model")


def weights_of(arrays):
    return next(name for name in arrays if name.endswith("structure.weights") and "params" in name)


def means_of(arrays):
    return next(name for name in arrays if name.endswith("family.means"))


ARRAYS = {
    "weights-not-one": (weights_of, np.array([0.5, 0.6])),
    "weights-negative": (weights_of, np.array([-0.5, 1.5])),
    "weights-nan": (weights_of, np.array([NAN, 1.0])),
    "weights-too-many": (weights_of, np.full(3, 1 / 3)),
    "weights-a-number": (weights_of, np.array(1.0)),
    "weights-truth": (weights_of, np.array([True, False])),
    "means-nan": (means_of, np.full((2, 2), NAN)),
    "means-wide": (means_of, np.zeros((2, 5))),
    "means-flat": (means_of, np.zeros(4)),
    "means-none": (means_of, np.zeros((0, 2))),
    "means-infinite": (means_of, np.full((2, 2), np.inf)),
}


@pytest.mark.parametrize(("which", "value"), ARRAYS.values(), ids=ARRAYS)
def test_wrong_arrays(which, value, good, tmp_path):
    arrays = {**good[1], which(good[1]): value}
    if which is weights_of and value.dtype == bool:
        with contextlib.suppress(ValueError):  # true and false are 1 and 0, which are legal weights
            write(tmp_path / "model", good, lambda state: None, arrays)
            assert estep.load(tmp_path / "model").weights_.sum() == 1
        return
    write(tmp_path / "model", good, lambda state: None, arrays)
    refused(tmp_path / "model")


def test_every_array_is_needed(good, tmp_path):
    for name in good[1]:
        write(tmp_path / "model", good, lambda state: None, {n: v for n, v in good[1].items() if n != name})
        refused(tmp_path / "model", "missing", name)


CALL = "__import__('os').system('true')"
JUNK = [None, True, -1, 2**70, 1.5, "x", CALL, [], {}, {"list": []}, {"float": "nan"}, {"is": "Result"}]


def places(node, path=()):
    """Every place in the JSON, as a path."""
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in items:
        yield from places(child, (*path, key))


def test_random_changes_of_the_header(good, tmp_path, monkeypatch):
    """Anything put anywhere is refused in words, or changes a setting; nothing is run."""
    ran = []
    monkeypatch.setattr(os, "system", lambda *a: ran.append(a))
    rng = np.random.default_rng(3)
    everywhere = [p for p in places(json.loads(good[2]["state"])) if p]
    refusals = 0
    for _ in range(300):
        place = everywhere[rng.integers(len(everywhere))]
        junk = JUNK[rng.integers(len(JUNK))]

        def change(state, place=place, junk=junk):
            node = state
            for key in place[:-1]:
                node = node[key]
            node[place[-1]] = junk

        write(tmp_path / "model", good, change)
        try:
            fit = estep.load(tmp_path / "model")
        except ValueError as error:
            assert str(tmp_path) in str(error)
            refusals += 1
        else:
            assert type(fit) is estep.GaussianMixture
            assert fit.predict(pd.DataFrame(X[:3], columns=fit.feature_names_in_)).shape == (3,)
            assert callable(fit.predict)
    assert not ran
    assert refusals > 150
