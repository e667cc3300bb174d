"""
Voting and stacking
===================

A logistic regression, a forest and naive Bayes vote; or a last model weighs what they say.
"""

from sklearn.datasets import load_wine, make_classification
from sklearn.ensemble import RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

for title, (X, y) in {
    "wine": load_wine(return_X_y=True),
    "made": make_classification(2000, 20, n_informative=6, flip_y=0.1, random_state=3),
}.items():
    members = [
        ("logistic", make_pipeline(StandardScaler(), LogisticRegression(C=0.1))),
        ("forest", RandomForestClassifier(n_estimators=30, random_state=1)),
        ("bayes", GaussianNB()),
    ]
    vote = VotingClassifier(members, voting="soft")
    stack = StackingClassifier(members, final_estimator=LogisticRegression(), cv=3)
    for name, model in [*members, ("vote", vote), ("stack", stack)]:
        scores = cross_val_score(model, X, y, cv=3, scoring="neg_log_loss")
        print(f"{title}, {name}: log-loss {-scores.mean():.4f} (+- {scores.std():.4f})")

    weights = {"weights": [[1, 1, 1], [2, 1, 1], [1, 2, 1]]}
    search = GridSearchCV(vote, weights, cv=3, scoring="neg_log_loss").fit(X, y)
    print(f"{title}, best weights: {search.best_params_['weights']} {search.best_score_:.4f}")
    fitted = cross_validate(vote, X, y, cv=3, return_estimator=True)["estimator"]
    print([type(model.named_estimators_["logistic"][-1]).__name__ for model in fitted])
