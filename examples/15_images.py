"""Look at images: a convolutional net beside simpler models, and what it learned.

Handwritten digits of 8 x 8 pixels, a thousand to train on. The example compares logistic
regression, an MLP and a convolutional net with its accuracies on digits that none of them saw,
saves pictures of what the convolutional net learned, and names the digits it finds hardest. With
some eight hundred digits to test on, differences of a hundredth say little; digits that are moved
by a pixel tell the models apart.

Run it with ``python examples/15_images.py [FOLDER]``: some seconds, no network. The pictures go
to the folder, or to a temporary one. It needs matplotlib.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mlfund import CNNClassifier, LogisticRegression, MLPClassifier

matplotlib.use("Agg")
warnings.simplefilter("ignore", ConvergenceWarning)  # the schedule of the MLP ends with max_iter

digits = load_digits()
images = digits.images.astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(
    images, digits.target, train_size=1000, random_state=0, stratify=digits.target
)


def moved(images: np.ndarray) -> np.ndarray:
    """Move every image by one pixel to the right; zeros come in."""
    return np.pad(images, ((0, 0), (0, 0), (1, 0)))[:, :, :-1]


def on_rows(model):
    """Give a model of tables the pixels as columns."""
    rows = FunctionTransformer(lambda images: images.reshape(len(images), -1))
    return make_pipeline(rows, StandardScaler(), model)


models = {
    "logistic regression": on_rows(LogisticRegression(max_iter=1000)),
    "MLP": on_rows(MLPClassifier((100,), max_iter=60, random_state=0)),
    "CNN": CNNClassifier(max_iter=10, random_state=0),
    "CNN, shifted in training": CNNClassifier(augmentation="shift", max_iter=10, random_state=0),
}
print("accuracy                    as they are   moved by a pixel")
for name, model in models.items():
    model.fit(X_train, y_train)
    scores = model.score(X_test, y_test), model.score(moved(X_test), y_test)
    print(f"{name:<28}{scores[0]:>10.3f}{scores[1]:>18.3f}")

net = models["CNN, shifted in training"]
print(f"\n{net.summary()}\n")

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
pictures = {
    "augmentation": net.plot_augmentation(X_train),
    "filters": net.plot_filters(),
    "activations": net.plot_activations(X_test[:4])[0],
    "grad_cam": net.plot_grad_cam(X_test[:6])[0],
    "top_losses": net.plot_top_losses(X_test, y_test, k=10)[0],
    "confusion": net.plot_confusion(X_test, y_test),
}
for name, axis in pictures.items():
    axis.figure.savefig(folder / f"{name}.png", dpi=80)
print(f"Pictures are in {folder}: {', '.join(pictures)}.")

hardest = net.top_losses(X_test, y_test, k=3)
for place, loss, said in zip(hardest.indices, hardest.losses, hardest.predicted, strict=True):
    print(f"test digit {place}: a {y_test[place]} taken for {said}, loss {loss:.2f}")
