"""
Sparse weights for handwritten digits
=====================================

Ten classes at once with an l1 penalty: few pixels suffice.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

for C in (0.05, 0.07, 0.1):
    model = LogisticRegression(
        C=C, l1_ratio=1, solver="saga", tol=1e-4, max_iter=5000, random_state=0
    )
    model.fit(X_train, y_train)
    sparsity = np.mean(np.abs(model.coef_) < 1e-2)
    loss = log_loss(y_test, model.predict_proba(X_test))
    print(f"C={C}: accuracy {model.score(X_test, y_test):.4f}, log-loss {loss:.4f}")
    print(f"    {sparsity:.0%} of the weights are next to nothing")
