"""
Seven pathologists: classes from a table of patterns
====================================================

Seven pathologists said of 118 slides whether they show carcinoma. Two classes, yes and no, do not explain how they agree; three
do: between the clear cases lies one on which B, E and G mostly say yes and C, D and F say no.
"""

import estep
from estep.data import sets

slides = sets.load("carcinoma")
X, count = slides.drop(columns="count"), slides["count"]
models = {
    k: estep.LatentClass(k, random_state=0).fit(X, sample_weight=count) for k in (1, 2, 3, 4)
}
for k, model in models.items():
    bic = model.bic(X, sample_weight=count)
    print(f"{k}: log-likelihood {model.log_likelihood_:.4f}  BIC {bic:.2f}")

three = models[3]
print(three.weights_.round(3))
print(*three.notes_, sep="\n")

# %%
# Light is "carcinoma".

figure = estep.views.plot_profiles(three)

# %%
# Slides that one pathologist did not see can still be placed.

unseen = X.iloc[[0, 9]].astype(float)
unseen["D"] = float("nan")
print(three.predict_proba(unseen).round(3))
