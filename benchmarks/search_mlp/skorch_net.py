"""The net of the searches in skorch, with skorch's defaults but for the held-out rows."""

from __future__ import annotations

import torch
from skorch import NeuralNetClassifier

from benchmarks.search_mlp.problems import ALPHAS, BATCH_SIZE, LEARNING_RATES, Search

# The decay of Adam is the L2 penalty of a whole batch: alpha divided by its rows.
GRID = {
    "lr": list(LEARNING_RATES),
    "optimizer__weight_decay": [alpha / BATCH_SIZE for alpha in ALPHAS],
}


class Net(torch.nn.Sequential):
    """One hidden layer with ReLU."""

    def __init__(self, sizes: tuple[int, int, int]) -> None:
        d, h, k = sizes
        super().__init__(torch.nn.Linear(d, h), torch.nn.ReLU(), torch.nn.Linear(h, k))


def classifier(search: Search) -> NeuralNetClassifier:
    """Return the estimator whose parameters `GRID` varies; nobody else holds rows out."""
    return NeuralNetClassifier(
        Net,
        module__sizes=search.problem.sizes,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        max_epochs=search.problem.n_epochs,
        batch_size=BATCH_SIZE,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
