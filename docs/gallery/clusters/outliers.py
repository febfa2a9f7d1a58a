"""
Outliers: t components
======================

One typing error moves the mean and blows up the covariance of a normal component. A t component has a hidden weight for every
row, which is small for rows far out. Here three of two hundred bank notes get a length with a digit too many.
"""

import numpy as np

import estep
from estep.data import sets

notes = sets.load("banknote")
X = notes[["bottom", "diagonal"]].copy()
X.loc[[20, 60, 120], "bottom"] *= 4.0
normal = estep.GaussianMixture(2, random_state=0).fit(X)
robust = estep.StudentMixture(2, random_state=0).fit(X)
genuine = notes["status"] == "genuine"
for model in (normal, robust):
    groups = model.predict(X)
    agree = max(np.mean(groups == genuine), np.mean(groups != genuine))
    print(f"{type(model).__name__}: {agree:.1%} of the notes in the right group")
print("weights of the three rows", robust.row_weights(X)[[20, 60, 120]].round(4))

# %%
# The normal mixture stretches a component to the three errors, and puts genuine and counterfeit notes together.

figure = normal.plot(X)

# %%
# The t mixture keeps its components where the notes are; the errors count for less than a hundredth of a row each.

robust_picture = robust.plot(X)
