"""
Two lines in one cloud: a mixture of regressions
================================================

CO2 and gross national product of 28 countries. Some put out much more CO2 for what they produce than others, and nobody said
which. Two regressions, found together with the countries that follow each.
"""

import estep
from estep.data import sets

countries = sets.load("co2")
X, y = countries[["gnp"]], countries["co2"]
model = estep.MixtureOfRegressions("linear", 2, random_state=0).fit(X, y)
print(model.summary())

# %%
# Most countries put out about the same, whatever they produce; a few follow a steep line. Which ones?

of_steep = model.predict_proba(X, y)[:, model.coefs_.ravel().argmax()]
print(countries.loc[of_steep > 0.9, "country"].tolist())

figure = model.plot(X, y, "gnp")
