"""Reading X: numbers, categories, tables of any kind, sparse matrices; every mistake is named with its column and row."""

import dataclasses

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.base import BaseEstimator

import estep
from estep.estimators.columns import coded, column_names, levels_of, read_columns
from estep.estimators.rows import Arguments, Target, read_rows

NAN = np.nan


class Reader(BaseEstimator):
    """Any estimator."""


@dataclasses.dataclass
class Asks:
    """A family that reads the given columns as categories."""

    columns: tuple = ()

    def categorical(self, names):
        return [names.index(c) if isinstance(c, str) else c for c in self.columns]


def reading(X, columns=(), reader=None):
    """What is read, and the estimator that learned the levels."""
    fresh = reader is None
    reader = reader or Reader()
    return read_columns(reader, X, Asks(columns), reset=fresh), reader


COLUMNS = {
    "colour": ["red", None, "blue", "red"],
    "size": [1.5, 2.0, None, 4.0],
    "sold": [True, False, None, True],
    "stars": [3, 1, 1, 5],
}
TABLES = {
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "pandas-nullable": lambda: pd.DataFrame(COLUMNS).convert_dtypes(),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "arrow": lambda: pa.table(COLUMNS),
    "stream": lambda: Stream(pa.table(COLUMNS)),
    "objects": lambda: np.array(list(zip(*COLUMNS.values(), strict=True)), dtype=object),
    "lists": lambda: [list(row) for row in zip(*COLUMNS.values(), strict=True)],
}


class Stream:
    """An object of no known library that streams Arrow data."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_every_kind_of_table_is_read_alike(make):
    x, reader = reading(make(), (0, 2, 3))
    np.testing.assert_array_equal(x, [[1, 1.5, 1, 1], [NAN, 2, 0, 0], [0, NAN, NAN, 0], [1, 4, 1, 2]])
    assert [None if levels is None else levels.tolist() for levels in reader.levels_] == [
        ["blue", "red"],
        None,
        [False, True],
        [1, 3, 5],
    ]
    named = not isinstance(make(), np.ndarray | list)
    assert getattr(reader, "feature_names_in_", None) is None or [*reader.feature_names_in_] == [*COLUMNS]
    assert named == hasattr(reader, "feature_names_in_")
    assert reader.n_features_in_ == 4
    again, _ = reading(make(), reader=reader)
    np.testing.assert_array_equal(again, x)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "stream"])
def test_numbers_of_every_table(kind):
    """Tables without categories: the numbers themselves, names learned, other names refused."""
    columns = {"a": [1, 2, None], "b": [True, False, True], "c": [0.5, None, 2.5]}
    make = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.table, "stream": lambda c: Stream(pa.table(c))}[kind]
    x, reader = reading(make(columns))
    np.testing.assert_array_equal(x, [[1, 1, 0.5], [2, 0, NAN], [NAN, 1, 2.5]])
    assert [*reader.feature_names_in_] == ["a", "b", "c"] and not hasattr(reader, "levels_")
    with pytest.raises(ValueError, match="feature names should match"):
        reading(make({"a": [1, 2, 3], "z": [1, 2, 3], "c": [1, 2, 3]}), reader=reader)


# ---- levels --------------------------------------------------------------------------------------------------------


def test_declared_levels_keep_their_order_and_count_unseen():
    declared = ["tall", "short", "middle"]
    tables = [
        pd.DataFrame({"h": pd.Categorical(["short", None, "tall"], categories=declared)}),
        pd.DataFrame({"h": pd.Categorical(["short", None, "tall"], categories=declared, ordered=True)}),
        pl.DataFrame({"h": pl.Series(["short", None, "tall"], dtype=pl.Enum(declared))}),
        pa.table({"h": pa.DictionaryArray.from_arrays(pa.array([1, None, 0]), declared, ordered=True)}),
    ]
    for table in tables:
        x, reader = reading(table, (0,))
        assert x[:, 0].tolist()[::2] == [1, 0] and np.isnan(x[1, 0])
        assert reader.levels_[0].tolist() == declared


def test_a_dictionary_is_no_order():
    """Arrow's dictionaries list levels as they come; the order is then that of the alphabet, unseen ones included."""
    x, reader = reading(pa.table({"h": pa.DictionaryArray.from_arrays(pa.array([1, 0]), ["z", "a", "m"])}), (0,))
    assert reader.levels_[0].tolist() == ["a", "m", "z"] and x[:, 0].tolist() == [0, 2]
    chunks = [pa.array(["b"]).dictionary_encode(), pa.array(["a", "b"]).dictionary_encode()]
    x, reader = reading(pa.table({"h": pa.chunked_array(chunks)}), (0,))
    assert reader.levels_[0].tolist() == ["a", "b"] and x[:, 0].tolist() == [1, 0, 1]


def test_levels_of_another_column_do_not_leak():
    """The categories of polars belong to the process: only those of the column count."""
    pl.Series(["of", "another", "column"], dtype=pl.Categorical)
    reader = reading(pl.DataFrame({"h": pl.Series(["b", "a"], dtype=pl.Categorical)}), (0,))[1]
    assert reader.levels_[0].tolist() == ["a", "b"]


def test_two_valued_numbers_have_two_levels_even_where_one_is_seen():
    x, reader = reading(np.array([[1.0, 7.0], [1.0, NAN], [NAN, 3.0]]), (0, 1))
    np.testing.assert_array_equal(x, [[1, 1], [1, NAN], [NAN, 0]])
    assert reader.levels_[0].tolist() == [0, 1] and reader.levels_[1].tolist() == [3, 7]


def test_levels_of_large_fractional_and_odd_values():
    for values in ([0.5, 2.5, 0.5], [-3.0, 1e9, 4.0], [2.0**60, 2.0**61, 1.0]):
        levels = levels_of(np.array(values), None, "X")
        assert levels.tolist() == sorted(set(values))
        np.testing.assert_array_equal(levels[coded(np.array(values), levels, "X").astype(int)], values)
    days = pd.DataFrame({"day": pd.to_datetime(["2024-01-02", "2024-01-01", None])})
    assert reading(days, (0,))[1].levels_[0].tolist() == ["2024-01-01 00:00:00", "2024-01-02 00:00:00"]


def test_a_column_without_values_has_no_levels_to_speak_of():
    x, reader = reading(pd.DataFrame({"a": [None, None], "b": ["u", "v"]}), (0, 1))
    assert np.isnan(x[:, 0]).all() and reader.levels_[0].tolist() in ([0, 1], [])


def test_levels_are_forgotten_by_the_next_fit():
    _, reader = reading(np.array([["a"], ["b"]]), (0,))
    read_columns(reader, np.array([[1.0], [2.0]]), Asks(), reset=True)
    assert not hasattr(reader, "levels_")


def test_names_of_columns():
    assert column_names(pd.DataFrame({3: [1], 4: [2]})) == ["3", "4"]
    assert column_names(np.zeros((2, 3))) == column_names([[1, 2, 3]]) == column_names(csr_array((2, 3))) == ["x0", "x1", "x2"]
    assert column_names("text") == column_names(None) == column_names(np.zeros(3)) == []


def test_masked_entries_are_missing():
    X = np.ma.array([["a", "b"], ["c", "b"]], mask=[[0, 1], [0, 0]])
    np.testing.assert_array_equal(reading(X, (0, 1))[0], [[0, NAN], [1, 0]])


# ---- mistakes ------------------------------------------------------------------------------------------------------

FRAME = pd.DataFrame({"age": [31, 40, 28], "town": ["Ulm", "Bonn", None]})
MISTAKES = [
    ("text in numbers", FRAME, (), ["'town'", "'Ulm'", "row 0", "NaN where missing", "encode or drop"]),
    ("text, polars", pl.from_pandas(FRAME), (), ["'town'", "'Ulm'", "row 0"]),
    ("text, arrow", pa.Table.from_pandas(FRAME), (), ["'town'", "'Ulm'", "row 0"]),
    ("text late", np.array([[1.0, 2.0], [3.0, "n/a"]], dtype=object), (), ["'x1'", "'n/a'", "row 1"]),
    ("text beside categories", [["a", "b"], ["a", 1.0]], (0,), ["'x1'", "'b'", "row 0"]),
    ("mixed", [["a"], [3], ["b"]], (0,), ["'x0'", "mixes text and numbers", "row 1", "3"]),
    ("infinite category", [[1.0], [np.inf]], (0,), ["'x0'", "infinity", "row 1"]),
    ("infinite number", [["a", 1.0], ["b", np.inf]], (0,), ["infinity"]),
    ("dates", pl.DataFrame({"d": pd.to_datetime(["2024-01-01", "2024-01-02"])}), (), ["'d'", "times", "number"]),
    ("no such column", [["a"], ["b"]], (3,), ["column 3", "1 columns"]),
    ("one dimension", np.array(["a", "b"]), (0,), ["1D array"]),
    ("no rows", pd.DataFrame({"a": pd.Series([], dtype=str)}), ("a",), ["0 sample"]),
    ("ragged", [["a", 1], ["b"]], (0,), []),
]  # fmt: skip


@pytest.mark.parametrize(("X", "columns", "words"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_mistakes_are_named(X, columns, words):
    with pytest.raises(ValueError, match=r".") as caught:
        reading(X, columns)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_rows_that_are_still_to_come_are_read():
    pytest.importorskip("duckdb")
    assert reading(pl.DataFrame({"a": [1.0, 2.0]}).lazy())[0].tolist() == [[1], [2]]
    assert reading(nw.from_native(pl.DataFrame({"a": [1.0, 2.0]})))[0].tolist() == [[1], [2]]


def test_an_unseen_level_is_named():
    _, reader = reading(FRAME, ("town",))
    with pytest.raises(ValueError, match=r"column 'town' holds 'Rome' in row 1, a level that .* knows 'Bonn', 'Ulm'"):
        reading(pd.DataFrame({"age": [1, 2], "town": ["Ulm", "Rome"]}), reader=reader)
    _, reader = reading(np.array([[2.0], [5.0]]), (0,))
    with pytest.raises(ValueError, match=r"column 'x0' holds 3 in row 0, .* knows 2, 5"):
        reading(np.array([[3.0]]), reader=reader)
    with pytest.raises(ValueError, match=r"holds 2\.5 in row 0"):
        reading(np.array([[2.5]]), reader=reader)
    with pytest.raises(ValueError, match=r"holds 'two' in row 0"):
        reading(np.array([["two"]]), reader=reader)
    _, reader = reading(np.array([["2"], ["5"]]), (0,))
    with pytest.raises(ValueError, match="in row 0, a level"):
        reading(np.array([[2.0]]), reader=reader)


# ---- sparse --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Sparse:
    sparse = True


def test_sparse_rows_stay_sparse_where_the_family_takes_them():
    X = csr_matrix(np.array([[0, 2.0, 0], [1, 0, NAN]]))
    x = read_columns(Reader(), X, Sparse(), reset=True)
    assert isinstance(x, csr_array) and x.nnz == 3
    with pytest.raises(TypeError, match="dense data is required"):
        read_columns(Reader(), X, Asks(), reset=True)
    with pytest.raises(ValueError, match="infinity"):
        read_columns(Reader(), csr_array(np.array([[np.inf, 1.0]])), Sparse(), reset=True)


def test_sparse_counts_are_the_same_as_dense_ones():
    rng = np.random.default_rng(0)
    z = rng.integers(2, size=200)
    X = rng.poisson(np.array([[3.0, 0.2, 0.1, 1], [0.1, 0.2, 4.0, 1]])[z]).astype(float)
    weight = rng.integers(0, 3, size=200)
    told = np.where(rng.random(200) < 0.2, z, -1)
    init = rng.dirichlet(np.ones(2), size=200)
    dense = estep.Mixture(estep.Multinomial(), 2, init=init).fit(X, told, sample_weight=weight)
    sparse = estep.Mixture(estep.Multinomial(), 2, init=init).fit(csr_array(X), told, sample_weight=weight)
    np.testing.assert_allclose(sparse.probs_, dense.probs_, rtol=1e-9)
    assert sparse.log_likelihood_ == pytest.approx(dense.log_likelihood_, rel=1e-12)
    np.testing.assert_array_equal(sparse.predict(csr_array(X)), dense.predict(X))
    assert estep.Mixture(estep.Multinomial(), 2, random_state=0).fit(csr_array(X)).converged_


# ---- all the way through a mixture ---------------------------------------------------------------------------------


def survey(n=300):
    rng = np.random.default_rng(1)
    z = rng.integers(2, size=n)
    says = np.where(rng.random(n) < np.array([0.2, 0.9])[z], "yes", "no").astype(object)
    colour = np.array(["red", "green", "blue"])[(rng.random(n)[:, None] > np.array([[0.7, 0.9], [0.1, 0.3]])[z]).sum(axis=1)]
    colour = colour.astype(object)
    says[rng.random(n) < 0.1] = None
    return pd.DataFrame({"says": says, "colour": pd.Categorical(colour, categories=["red", "green", "blue", "gold"])}), z


def test_a_mixture_of_categories_from_a_table(tmp_path):
    X, _ = survey()
    fit = estep.Mixture(estep.Categorical(), 2, random_state=0).fit(X)
    assert [levels.tolist() for levels in fit.levels_] == [["no", "yes"], ["red", "green", "blue", "gold"]]
    assert fit.probs_.shape == (2, 2, 4) and (fit.probs_[:, 1, 3] == 0).all()
    codes = np.column_stack([X["says"].map({"no": 0, "yes": 1}), X["colour"].cat.codes]).astype(float)
    plain = estep.Mixture(estep.Categorical(), 2, random_state=0).fit(codes)
    assert fit.log_likelihood_ == pytest.approx(plain.log_likelihood_, rel=1e-9)
    np.testing.assert_array_equal(fit.predict(pl.from_pandas(X)), fit.predict(X))
    fit.save(tmp_path / "model")
    again = estep.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(X), fit.predict_proba(X))
    assert [levels.dtype.kind for levels in again.levels_] == ["U", "U"]
    with pytest.raises(ValueError, match="'colour' holds 'pink' in row 0"):
        again.predict(pd.DataFrame({"says": ["no"], "colour": ["pink"]}))


def test_rows_keep_what_belongs_to_them():
    X = np.arange(12.0).reshape(6, 2)
    weight, y, by = np.array([1, 0, 2, 1, 0, 3]), np.array([0, 1, -1, 1, 0, -1]), [*"abbaca"]
    reader = Reader()
    rows = read_rows(reader, Arguments(X, y, weight, None, by), Target(None, 2, 2), reset=True)
    np.testing.assert_array_equal(rows.x, X[[0, 2, 3, 5]])
    assert rows.weight.tolist() == [1, 2, 1, 3] and rows.allowed.tolist() == [0, -1, 1, -1]
    assert rows.given.tolist() == [0, 1, 0, 0] and reader.groups_.tolist() == ["a", "b"]  # c has no weight
    assert (rows.n, rows.d, rows.total, rows.given_count) == (4, 2, 7.0, 6)
    part = next(rows.part(np.array([1, 3]), 1).chunks())
    assert part.weight.tolist() == [2, 3] and part.given.tolist() == [1, 0] and part.allowed.tolist() == [-1, -1]


@pytest.mark.parametrize("family", ["Poisson", "Geometric", "NegativeBinomial"])
def test_values_below_zero_are_refused_by_name(family, refused):
    X = np.array([[1.0, 2.0], [3.0, -1.0], [2.0, 2.0]])
    refused(estep.Mixture(getattr(estep, family)()), ["Negative values in data", "-1", "column 1", family], X)
