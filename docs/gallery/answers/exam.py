"""
An exam: latent classes of right and wrong
==========================================

A thousand candidates answered five questions. How many kinds of candidate are there? Classes answer each question with
probabilities of their own, independently. With five questions there are 32 possible sheets, so the fit can be compared
with the table of sheets: ``g2_`` is twice the distance to it in nats.
"""

import estep
from estep.data import sets

exam = sets.load("lsat")
sheets, candidates = exam.drop(columns="count"), exam["count"]
for k in (1, 2, 3):
    model = estep.LatentClass(k, random_state=0, max_iter=5000).fit(sheets, sample_weight=candidates)
    bic = model.bic(sheets, sample_weight=candidates)
    test = f"G2 {model.g2_:.1f} on {model.df_} degrees of freedom, p = {model.g2_p_value_:.2g}"
    print(f"{k}: BIC {bic:.1f}  {test}")

# %%
# One class is refused, two are enough: the better two thirds of the candidates, and the rest.

best = estep.LatentClass(2, random_state=0, max_iter=5000).fit(sheets, sample_weight=candidates)
print(best.weights_.round(3))
print(best.item_profiles())

# %%
# Dark is a wrong answer (0), light a right one (1).

figure = estep.views.plot_profiles(best)
