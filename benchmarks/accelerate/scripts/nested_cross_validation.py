"""
Nested against non-nested cross-validation
==========================================

The score of a search's best candidate is too good to be true, since the same rows chose it.
A second cross-validation around the search tells by how much.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_breast_cancer(return_X_y=True)
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, tol=1e-6))
grid = {"logisticregression__C": np.logspace(-3, 1, 12)}

gaps = []
for trial in range(3):
    inner = StratifiedKFold(n_splits=4, shuffle=True, random_state=trial)
    outer = StratifiedKFold(n_splits=4, shuffle=True, random_state=100 + trial)
    search = GridSearchCV(model, grid, cv=inner, scoring="neg_log_loss")
    flat = search.fit(X, y).best_score_
    nested = cross_val_score(search, X, y, cv=outer, scoring="neg_log_loss").mean()
    gaps.append(flat - nested)
    print(f"trial {trial}: non-nested {flat:.4f}, nested {nested:.4f}")
print(f"mean difference {np.mean(gaps):.4f}")
