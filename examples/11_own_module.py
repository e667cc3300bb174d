"""A convolutional residual net of your own as a scikit-learn estimator, searched in a pipeline.

The net is a plain `torch.nn.Module`. mlfund trains it with early stopping, a schedule and
class weights, and GridSearchCV searches over its constructor's parameters.

Run with: python examples/11_own_module.py
"""

from __future__ import annotations

import pickle
import warnings

import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
from torch import Tensor, nn

from mlfund import NeuralClassifier

warnings.simplefilter("ignore", ConvergenceWarning)  # short trainings on purpose


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        )

    def forward(self, X: Tensor) -> Tensor:
        """Return features of the shape of X."""
        return X + self.body(X)


class ResidualNet(nn.Module):
    """Grey images of side x side pixels, given as rows, to one raw score a class."""

    def __init__(self, n_outputs: int, side: int = 8, channels: int = 8, depth: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, side, side)),
            nn.Conv2d(1, channels, 3, padding=1),
            *[ResidualBlock(channels) for _ in range(depth)],
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.head = nn.Linear(channels * (side // 2) ** 2, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        """Return scores before the softmax, shape (n, n_outputs)."""
        return self.head(self.layers(X))


digits = load_digits()
X, names = digits.data.astype("float32"), digits.target_names.astype(str)[digits.target]
X_train, X_test, y_train, y_test = train_test_split(X, names, stratify=names, random_state=0)

# 1. One training. n_outputs is taken from y; float32 X makes a float32 net.
pipeline = Pipeline(
    [
        ("scale", MinMaxScaler()),
        (
            "net",
            NeuralClassifier(
                ResidualNet,
                optimizer="adamw",
                weight_decay=0.01,
                learning_rate_init=0.01,
                schedule="one_cycle",
                batch_size=64,
                max_iter=8,
                random_state=0,
            ),
        ),
    ]
)
pipeline.fit(X_train, y_train)
print(f"residual net, 8 epochs: test accuracy {pipeline.score(X_test, y_test):.3f}")
print(pipeline["net"].history_[["epoch", "train_loss", "lr"]].round(4).to_string(index=False))

# 2. A search over the net's own parameters, and those of its training, in one grid.
search = GridSearchCV(
    pipeline.set_params(net__max_iter=4),
    {"net__module_params__channels": [4, 8], "net__learning_rate_init": [0.003, 0.01]},
    cv=2,
)
search.fit(X_train, y_train)
for params, score in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
):
    print(f"channels {params['net__module_params__channels']}, "
          f"rate {params['net__learning_rate_init']}: {score:.3f}")  # fmt: skip

# 3. The torch module itself, in evaluation mode, for whatever torch can do with it.
best = search.best_estimator_
module = best["net"].module_
n_weights = sum(parameter.numel() for parameter in module.parameters())
with torch.no_grad():
    raw = module(torch.from_numpy(best["scale"].transform(X_test[:3])))
print(f"{type(module).__name__} of {n_weights} weights; raw scores {tuple(raw.shape)}")

# 4. Copies and pickles hold arrays, and predict the same.
again = pickle.loads(pickle.dumps(best))
same = (again.predict_proba(X_test) == best.predict_proba(X_test)).all()
print(f"best net: test accuracy {best.score(X_test, y_test):.3f}, same after pickling: {same}")
