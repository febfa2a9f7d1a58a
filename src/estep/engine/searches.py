"""The searches by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from estep.core.result import Result
from estep.engine.presets import Variant
from estep.engine.restart import Plan, Start, fit_starts
from estep.engine.run import Control
from estep.engine.search import Fit, RandomSwap, ShortRuns, refuse_variant
from estep.engine.search_greedy import Greedy
from estep.engine.search_split import SplitMerge

SEARCHES: dict[str, Any] = {search.name: search for search in (RandomSwap(), SplitMerge(), Greedy(), ShortRuns())}


def search_named(search: Any) -> Any:
    """The search of that name, or None; raises ValueError listing the known ones.

    >>> search_named("random_swap")
    RandomSwap(swaps=None, name='random_swap')
    """
    if search is None or (callable(search) and hasattr(search, "name") and not isinstance(search, type)):
        return search
    if not isinstance(search, str) or search not in SEARCHES:
        known = ", ".join(repr(name) for name in SEARCHES)
        raise ValueError(
            f"search={search!r} is unknown; choose None, {known}, or give one with settings, such as RandomSwap(50)"
        )
    return SEARCHES[search]


def fit_searched(
    model: Any, data: Any, starts: Sequence[Start], variant: Variant, control: Control, search: Any = None, *,
    plan: Plan | None = None, seed: int = 0,
) -> Result:  # fmt: skip
    """The best end over ``starts``, and over what ``search`` (a name, a search or None) does beyond them.

    With one component there is nothing to search for. Raises ValueError or TypeError where the search asks for more than the
    model, its rows or the variant have.
    """
    found = search_named(search)
    if found is None or int(getattr(model, "named", getattr(model, "k", 1))) < 2:
        return fit_starts(model, data, starts, variant, control, plan)
    refuse_variant(variant, found.name)
    result: Result = found(Fit(model, data, starts, variant, control, plan or Plan(), seed))
    return result
