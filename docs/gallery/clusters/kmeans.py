"""
k-means, and what it assumes
============================

k-means is EM with hard assignments and one round covariance for all clusters. Its cells have straight borders. Here it sorts
iris flowers by two lengths, and two measures say how well that agrees with the species.
"""

from sklearn.metrics import adjusted_rand_score

import estep
from estep.data import sets

flowers = sets.load("iris")
X = flowers[["sepal_length", "petal_length"]]
kmeans = estep.KMeans(3, random_state=0).fit(X)
mixture = estep.GaussianMixture(3, random_state=0).fit(X)
print(f"within-cluster sum of squares {kmeans.inertia_:.2f} after {kmeans.n_iter_} passes")
for model in (kmeans, mixture):
    agreement = adjusted_rand_score(flowers["species"], model.predict(X))
    print(f"{type(model).__name__}: adjusted Rand index {agreement:.3f}")

# %%
# Crosses are centres, lines the borders between their cells.

figure = kmeans.plot(X)

# %%
# A mixture lets each cluster have its own size and slant.

ellipses = mixture.plot(X)
