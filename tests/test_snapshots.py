import pickle

import numpy as np
import pytest
from sklearn.callback import FitCallback
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

import mlfund
from mlfund import LogisticRegression, MLPClassifier, NeuralClassifier, SnapshotEvery
from tests.own_modules import Perceptron

X, Y = load_iris(return_X_y=True)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make_model(**options):
    return MLPClassifier((6,), max_iter=9, random_state=0, **options)


def test_snapshots_are_the_estimator_at_their_epoch():
    snapshots = SnapshotEvery(4)
    assert isinstance(snapshots, FitCallback)
    make_model().set_callbacks(snapshots).fit(X, Y)
    assert list(snapshots.estimators_) == [4, 8]
    for epoch, snapshot in snapshots.estimators_.items():
        short = make_model().set_params(max_iter=epoch).fit(X, Y)
        np.testing.assert_array_equal(snapshot.predict_proba(X), short.predict_proba(X))
        assert snapshot.n_iter_ == epoch
        assert snapshot.loss_curve_ == short.loss_curve_


def test_another_fit_begins_anew():
    snapshots = SnapshotEvery(4)
    model = make_model().set_callbacks(snapshots).fit(X, Y)
    model.set_params(max_iter=5).fit(X, Y)
    assert list(snapshots.estimators_) == [4]


def test_snapshots_are_no_burden():
    snapshots = SnapshotEvery(9)
    make_model().set_callbacks(snapshots).fit(X, Y)
    (snapshot,) = snapshots.estimators_.values()
    assert not {"_skl_callbacks", "_fit_task", "_callback_fit_ctx"} & set(vars(snapshot))
    again = pickle.loads(pickle.dumps(snapshot))
    np.testing.assert_array_equal(again.predict(X), snapshot.predict(X))


def test_snapshots_in_files(tmp_path):
    snapshots = SnapshotEvery(3, tmp_path / "new" / "folder")
    model = make_model().set_callbacks(snapshots).fit(X, Y)
    assert [path.name for path in snapshots.paths_.values()] == [
        "epoch-000003.skops",
        "epoch-000006.skops",
        "epoch-000009.skops",
    ]
    assert not snapshots.estimators_
    last = mlfund.load(snapshots.paths_[9])
    np.testing.assert_array_equal(last.predict_proba(X), model.predict_proba(X))


def test_minutes(monkeypatch):
    now = [0.0]

    def later():
        now[0] += 20.0
        return now[0]

    monkeypatch.setattr("mlfund._engine.intervals.time.monotonic", later)
    snapshots = SnapshotEvery("1min")
    make_model().set_callbacks(snapshots).fit(X, Y)
    assert list(snapshots.estimators_) == [3, 6, 9]


def test_fits_of_a_search_have_folders_of_their_own(tmp_path):
    model = make_model().set_callbacks(SnapshotEvery(9, tmp_path))
    search = GridSearchCV(model, {"alpha": [1e-4, 1e-1]}, cv=2).fit(X, Y)
    files = sorted(tmp_path.glob("fit-*/epoch-000009.skops"))
    assert len(files) == 5
    scores = [mlfund.load(path).score(X, Y) for path in files]
    assert search.best_estimator_.score(X, Y) in scores


def test_other_estimators_too():
    for model in (LogisticRegression(), NeuralClassifier(Perceptron, max_iter=4, random_state=0)):
        snapshots = SnapshotEvery(2)
        model.set_callbacks(snapshots).fit(X, Y)
        assert 2 in snapshots.estimators_
        assert snapshots.estimators_[2].predict(X).shape == Y.shape


@pytest.mark.parametrize("every", [0, "never", None])
def test_no_interval(every):
    with pytest.raises(ValueError, match="every must be a number of epochs"):
        SnapshotEvery(every)
