"""Topics as bars: the most probable words of each topic, one panel a topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from estep.views.palette import colours
from estep.views.plot import new_figure, tidy
from estep.views.words import column_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACROSS = 4


def plot_topics(estimator: Any, n: int = 10, names: Sequence[str] | None = None) -> Figure:
    """The ``n`` most probable words of every topic.

    Parameters
    ----------
    estimator : fitted PLSA
        Or anything with ``topics_`` (K, words) and ``topic_weights_`` (K,).
    n : int
        Words a topic.
    names : sequence of str, optional
        The words, where the fit did not see the columns' names.

    Returns
    -------
    matplotlib Figure
        Bars are P(word | topic), on one scale for all topics; above each its share of the tokens.

    Raises
    ------
    ValueError
        On an estimator without topics, or names of another length.
    """
    if not hasattr(estimator, "topics_"):
        raise ValueError(f"estimator: {type(estimator).__name__} has no topics; give a fitted PLSA")
    topics, weights = np.asarray(estimator.topics_), np.asarray(estimator.topic_weights_)
    words = column_names(estimator) if names is None else [str(name) for name in names]
    if len(words) != topics.shape[1]:
        raise ValueError(f"names has {len(words)} entries, but the topics have {topics.shape[1]} words")
    n, across = min(n, len(words)), min(len(topics), ACROSS)
    down = -(-len(topics) // across)
    figure = new_figure("plot_topics", (2.9 * across + 0.4, (0.7 + 0.26 * n) * down))
    axes = figure.subplots(down, across, squeeze=False, sharex=True)
    for k, ax in enumerate(axes.ravel()):
        if k >= len(topics):
            ax.set_axis_off()
            continue
        top = np.argsort(-topics[k], kind="stable")[:n]
        ax.barh(np.arange(n), topics[k, top], color=colours(len(topics))[k], height=0.72)
        ax.set_yticks(np.arange(n), [words[j] for j in top], fontsize="small")
        ax.invert_yaxis()
        ax.set_title(f"topic {k}: {100 * weights[k]:.0f}% of the tokens", fontsize="small", loc="left")
        tidy(ax)
    figure.supxlabel("P(word | topic)", fontsize="small")
    return figure
