"""
Two kinds of eruption: a Gaussian mixture with gaps
===================================================

Old Faithful's eruptions are short or long. A mixture of two normals finds the two kinds, although every third waiting time is
deleted here: a row counts with what it shows, and nothing is filled in.
"""

import numpy as np

import estep
from estep.data import sets

X = sets.load("faithful").astype(float)
X.loc[::3, "waiting"] = np.nan
model = estep.GaussianMixture(2, random_state=0).fit(X)
print(model.summary())

# %%
# Lines along the axes are rows with one entry; they have a colour too, since one column is enough to say something.

figure = model.plot(X)

# %%
# Three rows: both entries, the duration alone, nothing at all. The last has the shares of the two kinds.

rows = X.iloc[[1, 0, 0]].copy()
rows.iloc[2] = np.nan
print(model.predict_proba(rows).round(4))
