"""Data sets as they might have been: rows drawn again, weighed anew, simulated from the fit, or cut into blocks.

    nonparametric   (c_1 .. c_m) ~ Multinomial(m; shares)               weight of row i: w_i c_u(i)
    weighted        (g_1 .. g_m) ~ Dirichlet, times the total           weight of row i: w_i g_u(i)
    parametric      x* ~ the fitted model, with the gaps of the data    labels that were known are drawn too, and lengths of
                                                                        sequences where states end them
    blocks          runs of ``block`` rows, drawn with replacement within each sequence and joined to its length

A unit u is a row, a cluster of rows, or a whole sequence. Frequencies w_i > 1 stand for as many rows (or sequences): they are
drawn one by one (nonparametric), and have Dirichlet parameter w_i (weighted). Draws that give a row no weight leave it out.

symbol   variable   shape
u(i)     unit       (n,)     integer code of each row's unit
c, g     draws      (m,)     how often, or how heavily, each unit counts

Sources: Efron (1979), Annals of Statistics 7:1; Newton & Raftery (1994), J. R. Statist. Soc. B 56:3 (weighted likelihood);
Rubin (1981), Annals of Statistics 9:130; Kuensch (1989), Annals of Statistics 17:1217 (moving blocks).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.core.rows import is_sparse, take
from estep.data.distinct import distinct
from estep.data.memory import Memory

Rng = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Sampled:
    """What is drawn from: rows as they were read, their units, and the distinct rows if equal ones are counted once.

    Attributes
    ----------
    data : Memory
        Rows with weights, labels, groups and ends of sequences.
    unit : integers (n,) or None
        Unit of each row; None: each row is one.
    collapse : bool
        Whether equal rows are counted once before a fit.
    block : int or None
        Rows of a moving block.
    """

    data: Memory
    unit: NDArray[np.intp] | None = None
    collapse: bool = False
    block: int | None = None

    @property
    def weight(self) -> Array:
        """Frequencies of the rows, (n,)."""
        return np.ones(self.data.n_rows) if self.data.weight is None else np.asarray(self.data.weight, dtype=float)

    @property
    def m(self) -> int:
        """Number of units."""
        return self.data.n_rows if self.unit is None else int(self.unit.max()) + 1

    @property
    def often(self) -> Array | None:
        """How many units each row, or sequence, stands for, (m,); None for clusters, whose rows have weights of their own."""
        if self.unit is None:
            return self.weight
        ends = self.data.ends
        if ends is None or not np.array_equal(self.unit, units_of_sequences(ends)):
            return None
        return np.asarray(self.weight[ends - 1])

    def reweighted(self, weight: Array) -> Memory:
        """The rows with other weights (n,); those without weight are left out."""
        kept, ends = weight > 0, self.data.ends
        data = dataclasses.replace(self.data, weight=weight, n_jobs=1)
        if not kept.all():
            if ends is not None:
                left = np.add.reduceat(kept.astype(np.intp), np.concatenate([[0], ends[:-1]]))
                ends = np.cumsum(left[left > 0], dtype=np.intp)
            data = dataclasses.replace(picked(data, np.flatnonzero(kept)), ends=ends)
        return self.compact(data)

    def compact(self, data: Memory) -> Memory:
        """``data``, equal rows counted once where that is worth it."""
        if not self.collapse or data.ends is not None or is_sparse(data.x):
            return data
        found = distinct((data.x, data.given, data.allowed), data.weight)
        return data if found is None else dataclasses.replace(picked(data, found.first), weight=found.weight)


def units_of_sequences(ends: NDArray[np.intp]) -> NDArray[np.intp]:
    """Every row's sequence, from the end rows of all.

    >>> units_of_sequences(np.array([2, 5])).tolist()
    [0, 0, 1, 1, 1]
    """
    return np.repeat(np.arange(len(ends)), np.diff(np.concatenate([[0], ends])))


def picked(data: Memory, rows: NDArray[Any]) -> Memory:
    """Some of the rows, without ends of sequences."""

    def pick(value: Any) -> Any:
        return None if value is None else take(value, rows)

    x, weight, allowed, given = pick(data.x), pick(data.weight), pick(data.allowed), pick(data.given)
    return dataclasses.replace(data, x=x, weight=weight, allowed=allowed, given=given, ends=None)


def _several(sampled: Sampled, kind: str) -> None:
    """Raise ValueError where there is one unit, so that every draw is the data again."""
    if sampled.m > 1:
        return
    if sampled.data.ends is not None:
        words = "draws whole sequences, and there is one; use kind='parametric', or kind='blocks' with block= rows"
    else:
        words = "draws whole clusters (or rows), and there is one; leave clusters out, or bring more rows"
    raise ValueError(f"kind={kind!r} {words}")


def drawn_again(sampled: Sampled, model: Any, params: Any, rng: Rng) -> Memory:
    """Units drawn with replacement, as many as there are."""
    _several(sampled, "nonparametric")
    often = sampled.often
    if often is None:
        times = rng.multinomial(sampled.m, np.full(sampled.m, 1.0 / sampled.m))
        return sampled.reweighted(sampled.weight * times[sampled.unit])
    size = max(round(float(often.sum())), 1)
    times = rng.multinomial(size, often / often.sum()) * (often.sum() / size)
    return sampled.reweighted(times if sampled.unit is None else times[sampled.unit])


def weighed_anew(sampled: Sampled, model: Any, params: Any, rng: Rng) -> Memory:
    """Units with Dirichlet weights, of the same total."""
    _several(sampled, "weighted")
    weight, often = sampled.weight, sampled.often
    if often is None:
        new = weight * rng.gamma(1.0, size=sampled.m)[sampled.unit]
    else:
        new = rng.gamma(often)[... if sampled.unit is None else sampled.unit]
    return sampled.reweighted(new * (weight.sum() / new.sum()))


def in_blocks(sampled: Sampled, model: Any, params: Any, rng: Rng) -> Memory:
    """Moving blocks: every sequence (without ends: all rows, in time order) put together from runs of its own."""
    data, length = sampled.data, sampled.block
    n = data.n_rows
    ends = np.array([n], dtype=np.intp) if data.ends is None else np.asarray(data.ends)
    if not isinstance(length, int | np.integer) or not 1 <= length < n:
        raise ValueError(f"block must be a number of rows from 1 to {n - 1}, got {length!r}; some n^(1/3) is usual")
    index: list[NDArray[np.intp]] = []
    for begin, end in zip(np.concatenate([[0], ends[:-1]]).tolist(), ends.tolist(), strict=True):
        size = min(int(length), end - begin)
        starts = rng.integers(begin, end - size + 1, size=-(-(end - begin) // size))
        index.append((starts[:, None] + np.arange(size)).ravel()[: end - begin])
    rows = np.concatenate(index)
    moved = dataclasses.replace(picked(data, rows), ends=data.ends, n_jobs=1)
    if data.ends is not None:
        moved = dataclasses.replace(moved, weight=data.weight)
    return sampled.compact(moved)


def drawn_sequences(model: Any, params: Any, s: int, rng: Rng) -> tuple[Any, NDArray[np.intp], NDArray[np.intp]]:
    """``s`` sequences with lengths of their own: rows end to end, their labels, and where sequences end."""
    draw = getattr(model.structure, "sample_sequences", None)
    if draw is None:
        raise ValueError(f"lengths cannot be drawn: {type(model.structure).__name__} has no sample_sequences; give lengths")
    labels, ends = draw(params.structure, s, rng)
    return model.family.sample(params.family, labels, rng), labels, ends


def _of_drawn_lengths(data: Memory, model: Any, params: Any, rng: Rng) -> Memory:
    """As many sequences as in the data, which end where they end; raises ValueError where rows hold more than values."""
    if isinstance(data.x, tuple) or data.given is not None or data.allowed is not None or np.isnan(data.x).any():
        raise ValueError(
            "kind='parametric': lengths are drawn, as states end sequences (end=True), and which values, labels or covariates "
            "rows of other lengths would have is not known; use kind='nonparametric'"
        )
    assert data.ends is not None
    x, _, ends = drawn_sequences(model, params, len(data.ends), rng)
    return dataclasses.replace(data, x=np.asarray(x, dtype=float), ends=ends, n_jobs=1)


def simulated(sampled: Sampled, model: Any, params: Any, rng: Rng) -> Memory:
    """Rows of the fitted model: gaps, groups, covariates and lengths as in the data, new labels where these were known.

    Where states end sequences, lengths are data too, and are drawn.
    """
    data = _repeated(sampled.data)
    if data.ends is not None and getattr(model.structure, "end", False) and not _untold(model.family):
        return _of_drawn_lengths(data, model, params, rng)
    n = data.n_rows
    where = {name: value for name, value in (("given", data.given), ("ends", data.ends)) if value is not None}
    covariates = _covariates(data.x, model)
    labels = model.structure.sample(params.structure, n, rng, **where)
    x = _with_gaps(model.family.sample(params.family, labels, rng, *covariates), data.x)
    return sampled.compact(dataclasses.replace(data, x=x, allowed=_labelled(data.allowed, labels), n_jobs=1))


def _repeated(data: Memory) -> Memory:
    """Rows of weight w as w rows."""
    if data.weight is None:
        return data
    weight = np.asarray(data.weight)
    if data.ends is not None and (weight == 1).all():
        return dataclasses.replace(data, weight=None)
    if data.ends is not None or (weight != np.round(weight)).any():
        what = "sequences" if data.ends is not None else "rows"
        raise ValueError(
            f"kind='parametric' draws whole {what}, but their weights are not 1 or whole; use kind='nonparametric'"
        )
    return dataclasses.replace(picked(data, np.repeat(np.arange(len(weight)), weight.astype(np.intp))), weight=None)


UNTOLD: Mapping[str, Callable[[Any], str]] = {
    "Censored": lambda family: "how a row would have been censored",
    "Multinomial": lambda family: "how many counts a row would have",
    "Poisson": lambda family: "" if family.exposure is None else "what exposure a row would have",
    "Binomial": lambda family: "how many trials a row would have" if isinstance(family.trials, str) else "",
}
"""What the law of a family, by its class, does not say of a row that is drawn; "" where it says all."""


def _untold(family: Any) -> str:
    """What a family, or one inside it, does not say of a row."""
    if isinstance(family, tuple | list):
        return next((words for part in family if (words := _untold(part))), "")
    if not dataclasses.is_dataclass(family):
        return ""
    own = UNTOLD.get(type(family).__name__, lambda family: "")(family)
    return own or next((w for f in dataclasses.fields(family) if (w := _untold(getattr(family, f.name)))), "")


def _covariates(x: Any, model: Any) -> tuple[Any, ...]:
    """What a response hangs on: design and offset of regressions; raises ValueError where the law leaves something open."""
    words = _untold(model.family)
    if isinstance(x, tuple) and not words and type(model.family).__name__ == "Truncated":
        words = "what responses outside the window are"
    if words:
        raise ValueError(f"kind='parametric': {words} is not known; use kind='nonparametric' or 'weighted'")
    return (x[0], *x[2:]) if isinstance(x, tuple) else ()


def _with_gaps(x: Any, like: Any) -> Any:
    """``x`` missing where ``like`` is; raises ValueError where rows that are drawn are not of the shape of those read."""
    if isinstance(like, tuple):
        return (like[0], _with_gaps(x[1], like[1]), *like[2:])
    if np.shape(x) != np.shape(like):
        raise ValueError(
            f"kind='parametric': rows are drawn in shape {np.shape(x)}, but read in shape {np.shape(like)}; "
            "use kind='nonparametric'"
        )
    if is_sparse(like) or is_sparse(x):
        return x
    x, like = np.asarray(x, dtype=float), np.asarray(like, dtype=float)
    return np.where(np.isnan(like), np.nan, x)


def _labelled(allowed: Any, labels: NDArray[np.intp]) -> Any:
    if allowed is None:
        return None
    if allowed.ndim == 1:
        return np.where(allowed >= 0, labels, -1)
    whole, one = allowed.all(axis=1), allowed.sum(axis=1) == 1
    if not (whole | one).all():
        raise ValueError(
            f"kind='parametric': row {int(np.flatnonzero(~(whole | one))[0])} has a set of classes, and which "
            "set another row would have is not known; use kind='nonparametric'"
        )
    return np.where(whole[:, None], True, labels[:, None] == np.arange(allowed.shape[1]))


KINDS: Mapping[str, Callable[[Sampled, Any, Any, Rng], Memory]] = {
    "nonparametric": drawn_again,
    "weighted": weighed_anew,
    "parametric": simulated,
    "blocks": in_blocks,
}
"""Kind of bootstrap -> function of what is drawn from, model, parameters and generator."""
LEFT_OUT = 100
"""Most groups that a jackknife leaves out in turn."""


def left_out(sampled: Sampled) -> tuple[list[Memory], Array]:
    """The data sets of a jackknife, and how many units (or like units) each stands for.

    Up to ``LEFT_OUT`` rows: one row each is left out, a row of weight w once for all its w copies. Clusters and sequences:
    one each. More: units in ``LEFT_OUT`` random groups of like size, one group each.
    """
    weight, m = sampled.weight, sampled.m
    if m < 2:
        what = "sequence" if sampled.data.ends is not None else "cluster"
        raise ValueError(f"method='bca' leaves out one {what} after another, and there is one; use method='percentile'")
    if m <= LEFT_OUT and sampled.unit is None:
        reduced = [np.where(np.arange(m) == i, np.maximum(weight - 1.0, 0.0), weight) for i in range(m)]
        return [sampled.reweighted(w) for w in reduced], np.maximum(weight, 1.0)
    unit = np.arange(m) if sampled.unit is None else sampled.unit
    group = np.random.default_rng(0).permutation(m) % min(m, LEFT_OUT)
    of_rows = group[unit]
    found = [sampled.reweighted(np.where(of_rows == g, 0.0, weight)) for g in range(int(group.max()) + 1)]
    return found, np.ones(len(found))
