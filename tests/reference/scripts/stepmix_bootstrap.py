"""Standard errors by StepMix's bootstrap of a latent class model with five binary items, for ``stepmix_bootstrap.json``.

Run in this folder with stepmix 3.0.0 installed: python stepmix_bootstrap.py   (rows drawn with replacement, a minute)
"""

import json
import warnings

import numpy as np
import stepmix
from stepmix import StepMix

warnings.simplefilter("ignore")
rng = np.random.default_rng(7)
probs = np.array([[0.9, 0.8, 0.75, 0.85, 0.7], [0.2, 0.3, 0.25, 0.1, 0.3]])
x = (rng.random((500, 5)) < probs[(rng.random(500) < 0.45).astype(int)]).astype(int)
patterns, times = np.unique(x, axis=0, return_counts=True)
settings = {"n_components": 2, "measurement": "binary", "max_iter": 5000, "abs_tol": 1e-10, "progress_bar": 0}
fit = StepMix(n_init=5, random_state=0, **settings).fit(x)
found = fit.bootstrap(x, n_repetitions=600, progress_bar=False, random_state=1)[0]
spread = found.groupby(level=["model", "param", "class_no", "variable"], dropna=False)["value"].std().reset_index()
items = spread[spread["param"] == "pis"].sort_values(["class_no", "variable"])["value"].to_numpy().reshape(2, 5)
estimates = np.asarray(fit.get_parameters()["measurement"]["pis"], dtype=float)
told = {
    "source": f"stepmix {stepmix.__version__ if hasattr(stepmix, '__version__') else '3.0.0'}, 600 bootstrap samples",
    "patterns": patterns.tolist(),
    "times": times.tolist(),
    "weights": np.asarray(fit.get_parameters()["weights"], dtype=float).tolist(),
    "probs": estimates.tolist(),
    "probs_se": items.tolist(),
    "weight_se": float(spread[spread["param"] == "class_weights"]["value"].to_numpy()[0]),
}
with open("../stepmix_bootstrap.json", "w", encoding="utf-8") as file:
    json.dump(told, file, indent=1)
