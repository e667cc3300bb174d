"""Learn from digits without labels first, then from a few labelled ones.

Of the handwritten digits that come with scikit-learn, 1257 are for training, and only a few of
each class have labels. A contrastive encoder sees all of them without labels; then the same
convolutional net is trained on the labelled ones from random weights, from the encoder's, and
with all but its last layer frozen. Test digits are seen by none of them until the end. Accuracies
are means over draws of the labelled digits. What a digit may be changed by without becoming
another one is told to all of them, as augmentation, and makes up for many labels by itself.

Run it with ``python examples/16_pretrain_on_unlabelled_images.py``: less than a minute, no
network.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from mlfund import CNNClassifier, ContrastiveEncoder
from mlfund.augmentation import RandomAffine, RandomShift
from mlfund.nets.layers import Activate, Conv, Norm, Pool

# Labelled digits of each class, and passes over them: fewer digits, more of them.
EPOCHS = {2: 150, 5: 80, 20: 30}
DRAWS = 3
# What leaves a digit the one it is, of 8 x 8 pixels.
CHANGES = [RandomShift(1), RandomAffine(degrees=15, scale=0.15)]
LAYERS = [
    *(Conv(16, bias=False), Norm(), Activate(), Pool()),
    *(Conv(32, bias=False), Norm(), Activate(), Pool()),
]
WAYS = {
    "from scratch": {"architecture": LAYERS},
    "fine-tuned": {"strategy": "full"},
    "last layer": {"strategy": "feature_extraction", "learning_rate_init": 0.02},
}


def main():
    """Pretrain, train with few labels in three ways, print accuracies."""
    X, y = load_digits(return_X_y=True)
    images = X.astype(np.uint8).reshape(-1, 8, 8)
    train, test, y_train, y_test = train_test_split(
        images, y, test_size=0.3, stratify=y, random_state=0
    )
    encoder = ContrastiveEncoder(
        LAYERS,
        augmentation=CHANGES,
        temperature=0.2,
        learning_rate_init=0.01,
        max_iter=30,
        random_state=0,
    ).fit(train)
    backbone = encoder.export_backbone()
    print(f"{len(train)} digits without labels: {backbone}")
    print(f"loss from {encoder.loss_curve_[0]:.2f} to {encoder.loss_:.2f}\n")

    data = train, y_train, test, y_test
    print(f"{'labels':>8}" + "".join(f"{way:>15}" for way in WAYS))
    for each in EPOCHS:
        means = [
            np.mean([accuracy(way, each, draw, backbone, data) for draw in range(DRAWS)])
            for way in WAYS
        ]
        print(f"{10 * each:>8}" + "".join(f"{mean:>15.3f}" for mean in means))


def accuracy(way, each, draw, backbone, data):
    """Return the test accuracy of a net that is trained on so many labels of each class."""
    train, y_train, test, y_test = data
    rng = np.random.default_rng(draw)
    rows = np.concatenate(
        [rng.permutation(np.flatnonzero(y_train == digit))[:each] for digit in range(10)]
    )
    options = dict(WAYS[way])
    if "strategy" in options:
        options["backbone"] = backbone
    net = CNNClassifier(
        **options, augmentation=CHANGES, batch_size=20, max_iter=EPOCHS[each], random_state=draw
    )
    return net.fit(train[rows], y_train[rows]).score(test, y_test)


if __name__ == "__main__":
    main()
