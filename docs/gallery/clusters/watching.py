"""
EM at work: an animation
========================

``animate`` replays the run that a fit returned, pass by pass and without leaps. The same object writes a GIF or a page:
``animation.save("run.gif")``.
"""

import numpy as np

import estep
from estep.data import sets

X = sets.load("faithful")
begin = {"means": np.array([[2.5, 90.0], [4.5, 50.0]])}
model = estep.GaussianMixture(2, init=begin).fit(X)
animation = model.animate(X)
first = animation.figure(0)

# %%
# A colour between two is a row that could belong to either.

animation  # noqa: B018

# %%
# The objective after every pass, and what the stop rule expected to be left.

trace = estep.views.plot_trace(model)
