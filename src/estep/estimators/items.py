"""Items of a latent class model as tables of answers by class, and their profiles for reading."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.families.bernoulli import Bernoulli
from estep.families.categorical import Categorical
from estep.families.product import Product

Tables = list[Array | None]


def _categorical(family: Any, params: Any, d: int) -> Tables:
    return [params.probs[:, j, :m] for j, m in enumerate(family.levels)]


def _bernoulli(family: Any, params: Any, d: int) -> Tables:
    return [np.stack([1.0 - p, p], axis=1) for p in params.probs.T]


def _product(family: Any, params: Any, d: int) -> Tables:
    found: Tables = [None] * d
    for part in family.parts:
        for j, table in zip(part.at, tables_of(part.family, params.parts[part.label], len(part.at)), strict=True):
            found[j] = table
    return found


TABLES: dict[type, Callable[[Any, Any, int], Tables]] = {
    Categorical: _categorical,
    Bernoulli: _bernoulli,
    Product: _product,
}


def tables_of(family: Any, params: Any, d: int) -> Tables:
    """For each column the probabilities (k, m) of its answers in each class; None for a column that is no category."""
    own = TABLES.get(type(family))
    return own(family, params, d) if own else [None] * d


def sizes_of(family: Any, params: Any, d: int) -> list[int]:
    """Number of answers of each column; 0 for a column that is no category."""
    return [0 if table is None else table.shape[1] for table in tables_of(family, params, d)]


@dataclasses.dataclass(frozen=True)
class Profiles:
    """Items by class: a line for each answer of a categorical item, or for each parameter of another.

    Attributes
    ----------
    item, answer : tuples of str
        What each line is about.
    values : array (lines, k)
        Probability of the answer, or the parameter, in each class.
    weights : array (k,) or (g, k)
        Class sizes.
    """

    item: tuple[str, ...]
    answer: tuple[str, ...]
    values: Array
    weights: Array

    def to_frame(self) -> Any:
        """A pandas DataFrame with a line for each answer and a column for each class."""
        import pandas as pd

        index = pd.MultiIndex.from_arrays([self.item, self.answer], names=["item", "answer"])
        return pd.DataFrame(self.values, index=index, columns=[f"class {c}" for c in range(self.values.shape[1])])

    def __str__(self) -> str:
        wide = max([4, *(len(name) for name in self.item)])
        answer = max([6, *(len(name) for name in self.answer)])
        head = [f"class {c}" for c in range(self.values.shape[1])]
        lines = [f"{'item':{wide}}  {'answer':{answer}}  " + "  ".join(f"{name:>8}" for name in head)]
        before = None
        for item, name, values in zip(self.item, self.answer, self.values, strict=True):
            shown = "" if item == before else item
            lines.append(f"{shown:{wide}}  {name:{answer}}  " + "  ".join(f"{v:8.4f}" for v in values))
            before = item
        if self.weights.ndim == 1:
            lines.append(f"{'size':{wide}}  {'':{answer}}  " + "  ".join(f"{v:8.4f}" for v in self.weights))
        return "\n".join(line.rstrip() for line in lines)


def profiles(self: Any) -> Profiles:
    """The profiles of a fitted estimator."""
    model, params = self.result_.model, self.result_.params
    names = item_names(self)
    found = tables_of(model.family, params.family, len(names))
    levels = getattr(self, "levels_", None) or [None] * len(names)
    lines: list[tuple[str, str, Array]] = []
    for name, table, own in zip(names, found, levels, strict=True):
        if table is not None:
            answers = range(table.shape[1]) if own is None else own
            lines += [(name, str(answer), table[:, c]) for c, answer in enumerate(answers)]
    lines += _others(model.family, params.family, names, found)
    values = np.array([line[2] for line in lines]).reshape(len(lines), -1)
    return Profiles(tuple(line[0] for line in lines), tuple(line[1] for line in lines), values, np.asarray(self.weights_))


def _others(family: Any, params: Any, names: list[str], tables: Tables) -> list[tuple[str, str, Array]]:
    """Parameters, by column and class, of the columns that are no categories."""
    if isinstance(family, Product):
        parts = ((part, [names[j] for j in part.at], [tables[j] for j in part.at]) for part in family.parts)
        return [line for part, *own in parts for line in _others(part.family, params.parts[part.label], *own)]
    if any(table is not None for table in tables):
        return []
    shown = family.expose(params) if hasattr(family, "expose") else {n: getattr(params, n) for n in family.names}
    lines = []
    for parameter, value in shown.items():
        value = np.asarray(value)
        if value.ndim == 3 and value.shape[1:] == (len(names), len(names)):
            parameter, value = "variances", np.diagonal(value, axis1=1, axis2=2)
        if value.ndim == 2 and value.shape[1] == len(names):
            lines += [(name, parameter, value[:, j]) for j, name in enumerate(names)]
    return lines


def item_names(self: Any) -> list[str]:
    """Names of the items: those of the columns, or x0, x1, ..."""
    names = getattr(self, "feature_names_in_", None)
    return [f"x{j}" for j in range(self.n_features_in_)] if names is None else [str(name) for name in names]
