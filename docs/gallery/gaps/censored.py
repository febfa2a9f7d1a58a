"""
Mice and motors: values known only to lie above something
=========================================================

Ten mice were inoculated and watched until seven had died; of three we know that they lived longer. Leaving them out, or
counting them as dead at the end, makes life too short. EM puts their conditional expectation in their place.
"""

import numpy as np

import estep
from estep.data import sets

mice = sets.load("mice")
days, status = mice["log_days"], mice["status"]
model = estep.CensoredNormal().fit(days, status=status)
print(f"mean {model.mean_:.6f}, standard deviation {model.std_:.5f}")
print(f"without the three {days[status == 'exact'].mean():.4f}, as if dead {days.mean():.4f}")

figure = model.plot(days.rename("log10 of days"), status=status)

# %%
# Motors run hot to wear out soon; at 150 degrees none of ten had failed when the test ended. A censored regression on
# 1000 / (temperature above absolute zero) says what to expect at the 130 degrees of normal use.

motors = sets.load("motorettes")
heat = 1000.0 / (motors[["temp"]] + 273.2)
hours = np.log10(motors["hours"])
line = estep.CensoredNormal().fit(hours, status=motors["failed"], covariates=heat)
print(f"intercept {line.intercept_:.3f}, slope {line.coefs_[0]:.3f}, scale {line.scale_:.4f}")
normal_use = line.predict(heat.iloc[:1] * 0.0 + 1000.0 / 403.2)[0]
print(f"median life at 130 degrees: {10**normal_use:.0f} hours")

residuals = line.plot(hours, status=motors["failed"], covariates=heat)
