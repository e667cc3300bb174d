"""
A random search over an elastic net on words
============================================

Documents are bags of words drawn from the mixture of two topics; the rows are sparse.
"""

import numpy as np
from scipy.stats import loguniform, uniform
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RandomizedSearchCV, train_test_split

rng = np.random.default_rng(0)
vocabulary = np.array([f"word{i}" for i in range(2000)])
common = 1 / np.arange(1, 2001)
topics = common * np.exp(0.4 * rng.standard_normal((2, 2000)))
topics /= topics.sum(1, keepdims=True)
y = rng.integers(2, size=3000)
documents = []
for label in y:
    share = rng.uniform(0.3, 1.0)
    words = share * topics[label] + (1 - share) * topics[1 - label]
    documents.append(" ".join(rng.choice(vocabulary, size=80, p=words)))
train, test, y_train, y_test = train_test_split(documents, y, random_state=0)

vectorizer = TfidfVectorizer(min_df=3)
X_train, X_test = vectorizer.fit_transform(train), vectorizer.transform(test)

search = RandomizedSearchCV(
    LogisticRegression(solver="saga", max_iter=2000, tol=1e-4, random_state=0),
    {"C": loguniform(1e-1, 1e1), "l1_ratio": uniform(0, 1)},
    n_iter=6,
    scoring="roc_auc",
    random_state=0,
    verbose=1,
)
search.fit(X_train, y_train)
print(f"{X_train.shape[1]} words, best AUC by cross-validation {search.best_score_:.4f}")
print(f"AUC of the test rows {search.score(X_test, y_test):.4f}")
results = search.cv_results_
for params, score in zip(results["params"], results["mean_test_score"], strict=True):
    print(f"C={params['C']:.3f} l1_ratio={params['l1_ratio']:.3f}: {score:.4f}")
