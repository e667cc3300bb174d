"""Small data and settings for tests of the MLPs' training parameters."""

from sklearn.datasets import make_classification, make_multilabel_classification, make_regression

X, Y = make_classification(200, 10, n_informative=6, n_classes=3, random_state=0)
X2, Y2 = make_classification(200, 10, n_informative=6, random_state=1)
XL, YL = make_multilabel_classification(150, 10, random_state=0)
XL = (XL - XL.mean(0)) / XL.std(0)
XR, _YR = make_regression(90, 6, noise=5.0, random_state=0)
YR = _YR / _YR.std()
SHORT = {"random_state": 0, "max_iter": 8}
# The loop's setting: batches of 30 rows in their own order, three epochs of plain descent.
PLAIN = {
    "hidden_layer_sizes": (7, 5),
    "activation": "tanh",
    "optimizer": "sgd",
    "learning_rate_init": 0.1,
    "batch_size": 30,
    "shuffle": False,
    "max_iter": 3,
    "alpha": 0.0,
    "random_state": 0,
}
