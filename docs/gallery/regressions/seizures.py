"""
Counts with an exposure: Poisson regressions
============================================

A child's epileptic seizures, counted each day over the hours that the parents watched, before and after a treatment began on
day 28. The logarithm of the hours is an ``offset``: twice the hours, twice the count. Good days and bad days have each a
regression of their own on treatment and time.
"""

import numpy as np

import estep
from estep.data import sets

days = sets.load("seizures")
model = estep.MixtureOfRegressions(
    "poisson", 2, formula="seizures ~ treatment * log(day)", random_state=0
)
hours = np.log(days["hours"])
model.fit(days, offset=hours)
print(model.summary())

# %%
# Marks and lines are seizures an hour. Both kinds of day get better under treatment, the good ones to almost no seizures.

figure = model.plot(days, days["seizures"], "day", offset=hours, at=days)
