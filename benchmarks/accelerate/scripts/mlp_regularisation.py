"""
How strongly to regularise a network
====================================

A small multilayer perceptron with several strengths of its penalty and learning rates.
"""

import warnings

import numpy as np
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

warnings.filterwarnings("ignore", category=ConvergenceWarning)
X, y = make_classification(
    n_samples=2000, n_features=20, n_informative=8, flip_y=0.1, random_state=0
)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

net = MLPClassifier(hidden_layer_sizes=(16,), max_iter=40, batch_size=100, random_state=1)
search = GridSearchCV(
    make_pipeline(StandardScaler(), net),
    {
        "mlpclassifier__alpha": np.logspace(-4, 1, 6),
        "mlpclassifier__learning_rate_init": [0.001, 0.01],
    },
    cv=5,
    scoring="neg_log_loss",
    return_train_score=True,
)
search.fit(X_train, y_train)
results = search.cv_results_
for params, train, test in zip(
    results["params"], results["mean_train_score"], results["mean_test_score"], strict=True
):
    alpha, rate = params.values()
    print(f"alpha={alpha:.0e} rate={rate}: train {train:.4f}, held out {test:.4f}")
print(f"best: {search.best_params_}")
print(f"log-loss of the test rows {-search.score(X_test, y_test):.4f}")
print(f"last training loss {search.best_estimator_[-1].loss_:.4f}")
