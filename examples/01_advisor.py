"""Deep learning or traditional machine learning? Ask the advisor.

Runs in a few seconds on the breast cancer data that come with scikit-learn. For your own file:

    mlfund advise data.csv --target y
"""

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import mlfund


def main():
    """Advise on three quarters of the rows and try the model on the rest."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    y = y.map({0: "malignant", 1: "benign"})
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

    advice = mlfund.advise(X_train, y_train, random_state=0, isolate=False)

    columns = ["name", "family", "score_mean", "diff_to_best", "verdict", "fit_seconds"]
    print(advice.leaderboard[columns].to_string(index=False, float_format="{:.3f}".format))
    print()
    print(advice.recommendation.summary)
    print(advice.recommendation.deep_learning)
    for reason in advice.recommendation.reasons:
        print("-", reason)

    accuracy = advice.best_estimator.score(X_test, y_test)
    print(f"\nAccuracy on {len(X_test)} rows that the advisor has not seen: {accuracy:.3f}")


if __name__ == "__main__":
    main()
