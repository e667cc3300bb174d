"""A replacement behaves as the class that it replaces, in all but the time of `fit`."""

import copy
import io
import pickle
import subprocess
import sys

import cloudpickle
import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import _logistic
from sklearn.model_selection import _search
from sklearn.neural_network import _multilayer_perceptron as _mlp
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

import mlfund
from mlfund import accelerate

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)


@pytest.fixture
def LogisticRegression(record):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression


def written_by_joblib(estimator):
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    return buffer.getvalue()


def test_instances_of_either_class_are_instances_of_the_replacement(LogisticRegression):
    from sklearn.linear_model import LogisticRegressionCV

    theirs = _logistic.LogisticRegression()
    assert isinstance(theirs, LogisticRegression)
    assert isinstance(LogisticRegression(), _logistic.LogisticRegression)
    assert issubclass(_logistic.LogisticRegression, LogisticRegression)
    assert isinstance(LogisticRegressionCV(), LogisticRegression)
    assert not isinstance(StandardScaler(), LogisticRegression)
    assert not issubclass(StandardScaler, LogisticRegression)
    assert not isinstance(theirs, LogisticRegressionCV)


def test_a_subclass_is_no_class_of_what_it_does_not_derive_from(LogisticRegression):
    class Mine(LogisticRegression):
        pass

    assert isinstance(Mine(), Mine)
    assert isinstance(Mine(), LogisticRegression)
    assert not isinstance(_logistic.LogisticRegression(), Mine)
    assert not issubclass(_logistic.LogisticRegression, Mine)


def test_abstract_bases_of_what_was_replaced_still_tell_classes(record):
    from sklearn.model_selection import GridSearchCV

    # They ask their subclasses, among which the replacements are.
    assert GridSearchCV is not _search.GridSearchCV
    for search in (GridSearchCV, _search.GridSearchCV):
        assert issubclass(search, _search.BaseSearchCV)
        assert isinstance(search(StandardScaler(), {}), _search.BaseSearchCV)
        assert isinstance(search(StandardScaler(), {}), GridSearchCV)
    assert not isinstance(StandardScaler(), _search.BaseSearchCV)
    assert not issubclass(StandardScaler, _search.BaseSearchCV)


def test_parameters_text_and_clone_are_scikit_learns(LogisticRegression):
    ours, theirs = LogisticRegression(C=3), _logistic.LogisticRegression(C=3)
    assert ours.get_params() == theirs.get_params()
    assert repr(ours) == repr(theirs)
    cloned = clone(ours)
    assert type(cloned) is LogisticRegression
    assert cloned.get_params() == theirs.get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'optimizer'"):
        ours.set_params(optimizer="adam")
    with pytest.raises(TypeError, match="device"):
        LogisticRegression(device="cpu")


def test_html_view_is_scikit_learns(LogisticRegression):
    def view(estimator):
        html = estimator_html_repr(estimator)
        return html[html.index("<body") :] if "<body" in html else html

    ours, theirs = view(LogisticRegression(C=3)), view(_logistic.LogisticRegression(C=3))
    assert len(ours) == len(theirs)
    assert "sklearn.linear_model.LogisticRegression.html" in ours


@pytest.mark.parametrize("write", [pickle.dumps, written_by_joblib, cloudpickle.dumps])
@pytest.mark.parametrize("fitted", [False, True])
def test_files_hold_scikit_learns_class(LogisticRegression, write, fitted):
    model = LogisticRegression(C=2.0)
    if fitted:
        model.fit(X, Y)
    data = write(make_pipeline(StandardScaler(), model))
    assert b"mlfund" not in data
    again = joblib.load(io.BytesIO(data))[-1]
    assert type(again) is _logistic.LogisticRegression
    assert again.C == 2.0
    if fitted:
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_a_file_is_read_by_a_python_without_mlfund(LogisticRegression, tmp_path):
    joblib.dump(LogisticRegression().fit(X, Y), tmp_path / "model.joblib")
    program = (
        "import sys; sys.modules['mlfund'] = None; import joblib; "
        f"print(type(joblib.load({str(tmp_path / 'model.joblib')!r})).__module__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "sklearn.linear_model._logistic", done.stderr


def test_what_scikit_learn_pickled_is_read(LogisticRegression):
    theirs = _logistic.LogisticRegression().fit(X, Y)
    again = pickle.loads(pickle.dumps(theirs))
    assert isinstance(again, LogisticRegression)
    np.testing.assert_array_equal(again.predict(X), theirs.predict(X))


@pytest.mark.parametrize("write", [pickle.dumps, copy.deepcopy])
def test_the_class_itself_is_pickled_as_the_one_it_replaced(LogisticRegression, write):
    if write is copy.deepcopy:
        assert copy.deepcopy(LogisticRegression) is LogisticRegression
    else:
        assert pickle.loads(write(LogisticRegression)) is _logistic.LogisticRegression


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_stay_replacements(LogisticRegression, copied):
    model = LogisticRegression().fit(X, Y)
    again = copied(model)
    assert type(again) is LogisticRegression
    assert (again.coef_ is model.coef_) == (copied is copy.copy)
    np.testing.assert_array_equal(again.coef_, model.coef_)


def test_mlfund_saves_it_as_scikit_learns(LogisticRegression, tmp_path):
    model = LogisticRegression().fit(X, Y)
    mlfund.save(model, tmp_path / "model.skops")
    again = mlfund.load(tmp_path / "model.skops")
    assert type(again) is _logistic.LogisticRegression
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_a_subclass_in_a_script_is_accelerated(record, LogisticRegression):
    class Mine(LogisticRegression):
        def __init__(self, C=1.0, shift=0.0):
            super().__init__(C=C)
            self.shift = shift

        def fit(self, X, y):
            return super().fit(X + self.shift, y)

    model = Mine(C=0.5, shift=1.0).fit(X, Y)
    expected = _logistic.LogisticRegression(C=0.5).fit(X + 1.0, Y)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=5e-3)
    assert record.fits["LogisticRegression"].calls == {"mlfund": 1}
    assert clone(model).get_params() == {"C": 0.5, "shift": 1.0}
    assert any("Mine" in note and "cloudpickle" in note for note in record.notes)


def test_a_subclass_with_private_methods_of_its_own_is_scikit_learns(record):
    from sklearn.neural_network import MLPClassifier

    class Mine(MLPClassifier):
        def _init_coef(self, fan_in, fan_out, dtype):
            return np.zeros((fan_in, fan_out), dtype), np.zeros(fan_out, dtype)

    Mine((3,), solver="lbfgs", max_iter=1000).fit(X, Y)
    assert record.fits["MLPClassifier"].reasons == {"Mine has a _init_coef of its own": 1}


def test_a_subclass_works_in_other_processes(record, LogisticRegression, tmp_path):
    class Mine(LogisticRegression):
        def fit(self, X, y):
            return super().fit(X, y)

    # as joblib sends a class of a script to its workers
    (tmp_path / "mine.pkl").write_bytes(cloudpickle.dumps((Mine(), X, Y)))
    program = (
        "import pickle, sys; model, X, y = pickle.load(open(sys.argv[1], 'rb')); "
        "print(*model.fit(X, y).coef_.ravel())"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "mine.pkl")]
    done = subprocess.run(command, capture_output=True, text=True)
    expected = _logistic.LogisticRegression().fit(X, Y).coef_.ravel()
    assert [float(word) for word in done.stdout.split()] == list(expected), done.stderr


def test_the_function_fit_takes_instances_of_either_class(record, LogisticRegression):
    theirs = LogisticRegression.fit(_logistic.LogisticRegression(), X, Y)
    expected = _logistic.LogisticRegression().fit(X, Y)
    np.testing.assert_array_equal(theirs.coef_, expected.coef_)
    assert not record.fits
    ours = LogisticRegression.fit(LogisticRegression(), X, Y)
    np.testing.assert_allclose(ours.coef_, expected.coef_, atol=5e-3)
    assert record.fits["LogisticRegression"].calls == {"mlfund": 1}


def test_instances_outlive_the_acceleration():
    with accelerate.install(quiet=True):
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression().fit(X, Y)
    np.testing.assert_allclose(model.score(X, Y), 0.97, atol=0.02)
    again = model.fit(X, Y)
    expected = _logistic.LogisticRegression().fit(X, Y)
    np.testing.assert_array_equal(again.coef_, expected.coef_)
    # scikit-learn's tool for undoing its own pickling warns of nothing
    assert type(pickle.loads(pickle.dumps(model))) is _logistic.LogisticRegression


def test_meta_estimators_take_replacements(record, LogisticRegression):
    def steps(kind):
        return [("a", kind()), ("b", make_pipeline(StandardScaler(), kind(C=0.1)))]

    ours, theirs = steps(LogisticRegression), steps(_logistic.LogisticRegression)
    for make in (
        lambda steps: VotingClassifier(steps, voting="soft"),
        lambda steps: CalibratedClassifierCV(steps[1][1], cv=3),
    ):
        proba = make(ours).fit(X, Y).predict_proba(X)
        np.testing.assert_allclose(proba, make(theirs).fit(X, Y).predict_proba(X), atol=1e-3)
    assert record.fits["LogisticRegression"].calls["mlfund"] >= 5


def test_private_modules_keep_their_classes(record):
    assert _logistic.LogisticRegression.__mro__[1].__module__.startswith("sklearn")
    assert type(_mlp.MLPClassifier()) is _mlp.MLPClassifier
    assert "mlfund" not in str(_logistic.LogisticRegressionCV.__mro__)
