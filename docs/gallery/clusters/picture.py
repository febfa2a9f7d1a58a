"""
Segments of a photograph
========================

Pixels are rows and colours are columns; a mixture of normals groups them. ``places`` lets the position of a pixel count a
little beside its colour. The mixture is fitted to a sample of pixels and then says for each of them which segment it is in.
"""

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image

import estep

photo = load_sample_image("china.jpg")[::2, ::2]
found = estep.segment_image(photo, 5, places=0.1, sample=5000, n_init=4, random_state=0)
for row in found.table():
    print(row)

# %%
# The picture with every pixel in its segment's mean colour, and how sure each pixel is of its segment.

figure = Figure(figsize=(9, 2.4), layout="constrained")
certainty = np.rint(255 * found.probabilities.max(axis=2)).astype(np.uint8)
panels = {"photograph": photo, "segments": found.picture(), "certainty": certainty}
for ax, (title, picture) in zip(figure.subplots(1, 3), panels.items(), strict=True):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
    ax.set_title(title, fontsize="small")
    ax.set_axis_off()
