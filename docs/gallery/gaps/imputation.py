"""
Air quality with gaps: the multivariate normal, and imputation
==============================================================

Ozone was not measured on 37 of 153 days, solar radiation not on 7. The means and covariances of what would have been seen
follow from all the days there are; a missing entry is then imputed from what its day shows.
"""

import numpy as np

import estep
from estep.data import sets

air = sets.load("airquality")
patterns = estep.views.plot_patterns(air)

# %%
# Dropping days with gaps throws away wind and temperature that were measured.

air["ozone"] = np.cbrt(air["ozone"])  # nearly normal on this scale
model = estep.MultivariateNormal(random_state=0).fit(air)
dropped = air.dropna()
print("mean of all days     ", model.mean_.round(3), len(air))
print("mean of complete days", dropped.mean().to_numpy().round(3), len(dropped))

figure = model.plot(air, ["temp", "ozone"])

# %%
# One imputed value hides that it is not known. Twenty copies, drawn from bootstrapped fits, carry it to the answer: ozone's
# mean, with its standard error by Rubin's rules.

copies = model.multiple_imputation(air, m=20, random_state=0)[:, :, 0]
means, variances = copies.mean(axis=1), copies.var(axis=1, ddof=1) / len(air)
pooled = estep.pool_estimates(means[:, None], variances[:, None])
error, lost = pooled.total[0] ** 0.5, pooled.missing[0]
print(f"{pooled.estimate[0]:.3f}, standard error {error:.3f}, information lost {lost:.0%}")
