"""The course of a diagnosis."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from mlfund._check import check_fraction, check_positive
from mlfund.diagnostics import _data_checks as data
from mlfund.diagnostics import _dependence as dependence
from mlfund.diagnostics import _remedies as remedies
from mlfund.diagnostics import _start_checks as at_start
from mlfund.diagnostics import _training_checks as after
from mlfund.diagnostics._findings import CHECKS, Finding, skipped
from mlfund.diagnostics._material import Material, Subject, find_network, prepare
from mlfund.diagnostics._outcome import Constant, Outcome, constant_of, outcome_of
from mlfund.diagnostics.diagnosis import Diagnosis
from mlfund.diagnostics.learning_rate import LearningRateTest, sweep

Report = Callable[[str], object]


def diagnose(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    X_val: Any = None,
    y_val: Any = None,
    groups: Any = None,
    validation_fraction: float = 0.25,
    max_rows: int | None = 20_000,
    random_state: Any = 0,
    progress: bool | Callable[[str], object] = False,
) -> Diagnosis:
    """Check data, network and training of a neural estimator; name faults and their cures.

    A part of the rows is held out, the network is trained as its parameters say on the
    others, and 26 checks look on: at the data, at the network before its first step, at the
    training, at the held-out rows. Where the network does worse than it could, remedies are
    not guessed but tried: the training is run once more with another learning rate, a wider
    network, less regularisation or more epochs, and what helps is reported.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor, NeuralClassifier or NeuralRegressor
        Alone, at the end of a Pipeline (its steps are fitted on the training rows only) or in
        a TransformedTargetRegressor. It may be fitted or not, and is not changed: copies of
        it are trained from the start.
    X : {array-like, sparse matrix} of shape (n, d)
        Features.
    y : array-like of shape (n,) or (n, k)
        Targets.
    X_val, y_val : array-like, optional
        Rows held out, instead of a part of X and y; give them where rows have an order in time.
    groups : array-like of shape (n,), optional
        Rows of one group are never parted into training and held-out rows.
    validation_fraction : float, default=0.25
        Share of the rows held out, by class where there are classes.
    max_rows : int or None, default=20_000
        Most rows to train on, drawn at random; None takes all. Too little and too much
        training depend on the number of rows, so take what time allows.
    random_state : int, RandomState instance or None, default=0
        Source of the rows held out, and of all else where the estimator has no seed.
    progress : bool or callable, default=False
        True prints what runs now to standard error; a callable is given the words.

    Returns
    -------
    Diagnosis
        Its verdict, findings, tables and plots.

    Raises
    ------
    TypeError
        If there is no neural estimator in `estimator`.
    ValueError
        If `fit` would refuse the parameters.

    See Also
    --------
    find_learning_rate : The learning-rate range test alone.

    References
    ----------
    Karpathy (2019), A recipe for training neural networks. Smith (2017), Cyclical learning
    rates for training neural networks, arXiv 1506.01186. Glorot and Bengio (2010),
    Understanding the difficulty of training deep feedforward neural networks.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from mlfund import MLPClassifier, diagnose
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> diagnosis = diagnose(MLPClassifier(max_iter=50, random_state=0), X, y)
    >>> diagnosis.faults
    ['unscaled input']
    """
    check_fraction("validation_fraction", validation_fraction)
    if max_rows is not None:
        check_positive("max_rows", max_rows, integer=True)
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val belong together; give both or neither.")
    with warnings.catch_warnings():
        # What a fit warns of is part of its record; the rest is said by the findings.
        warnings.simplefilter("ignore")
        return _diagnose(
            find_network(estimator),
            X,
            y,
            _teller(progress),
            X_valid=X_val,
            y_valid=y_val,
            groups=groups,
            fraction=validation_fraction,
            max_rows=max_rows,
            random_state=random_state,
        )


def _diagnose(subject: Subject, X: Any, y: Any, tell: Report, **split: Any) -> Diagnosis:
    tell("looking at the data")
    findings: list[Finding] = [data.check_duplicates(X, y)]
    bare = X if subject.steps is None else np.empty((len(np.asarray(y)), 0))
    early = data.check_finite(bare, y)
    if early.status == "fail":
        return _ended([early, *findings], "The data are not finite.")
    try:
        material = prepare(subject, X, y, **split)
    except ValueError:
        # A step before the network may refuse what is not finite; others would fill it.
        raw = data.check_finite(X, y)
        if raw.status != "fail":
            raise
        return _ended([raw, *findings], "The data are not finite.")
    finite = data.check_finite(material.X, material.y)
    if finite.status == "pass":
        finite = data.check_finite(material.X_valid, material.y_valid)
    findings.append(finite)
    if finite.status == "fail":
        return _ended(findings, "The data are not finite.")
    return _Course(material, findings, tell).run()


def _teller(progress: bool | Report) -> Report:
    if callable(progress):
        return progress
    if not progress:
        return lambda words: None
    return lambda words: sys.stderr.write(f"diagnose: {words}\n")


def _ended(findings: list[Finding], why: str) -> Diagnosis:
    """Return a diagnosis that could not go on."""
    done = {finding.check for finding in findings}
    rest = [skipped(name, why) for name in CHECKS if name not in done]
    return Diagnosis.of([*findings, *rest])


class _Course:
    """One diagnosis, from the prepared rows to the result.

    Parameters
    ----------
    material : Material
        Network and rows.
    findings : list of Finding
        What was found before; added to.
    tell : callable
        Told what runs now.
    """

    def __init__(self, material: Material, findings: list[Finding], tell: Report) -> None:
        self.material = material
        self.findings = findings
        self.tell = tell
        self.notes = material.notes

    def run(self) -> Diagnosis:
        """Make all checks."""
        refused = self._capture()
        if refused is not None:
            return _ended([*self.findings, refused], "fit refuses the target.")
        self._look_at_data()
        self._look_at_start()
        own = self._train()
        self._look_at_outcome(own)
        return Diagnosis.of(
            self.findings,
            learning_rate=self.test,
            outcome=own,
            constant=self.constant,
            notes=self.notes,
        )

    def _capture(self) -> Finding | None:
        """Build the network; a loss that refuses the target is a finding, not an error."""
        try:
            self.start = self.material.start
        except ValueError as error:
            if not str(error).startswith("The loss "):
                raise
            return Finding(
                "loss_fits_target",
                "fail",
                text=str(error),
                cure="Choose a loss for this kind of target, or transform the target.",
                fault="wrong loss",
            )
        return None

    def _look_at_data(self) -> None:
        material, loss = self.material, self.start.net.criterion_.loss
        X = data.flat(material.X)
        names = data.column_names(material.X, X.shape[1])
        self.reference = dependence.trees_on(material)
        self.findings += [
            dependence.check_target_leak(material, names),
            data.check_input_scale(X, names)
            if self.start.train.features(slice(0, 1)).is_floating_point()
            else skipped("input_scale", "Integers are looked up, not multiplied."),
            data.check_constant_columns(X, names),
            data.check_target_scale(
                # As the network gets it: some standardise it themselves.
                material.y if material.classification else self.start.train.y.cpu().numpy(),
                classification=material.classification,
                identity_link=loss.target == "real",
            ),
            dependence.check_signal(self.reference, len(material.y_valid)),
            dependence.check_loss_fits_target(material, loss),
        ]

    def _look_at_start(self) -> None:
        self.tell("looking at the network before its first step")
        start = self.start
        self.findings += [
            at_start.check_batch_independence(start),
            at_start.check_deterministic_evaluation(start),
            at_start.check_dead_units_at_start(start),
            at_start.check_initial_loss(start),
            at_start.check_initial_activations(start),
            at_start.check_initial_gradients(start),
        ]
        self.tell("learning-rate range test")
        self.test: LearningRateTest = sweep(start.net, start.train)
        self.constant: Constant = constant_of(self.material)

    def _train(self) -> Outcome:
        self.tell("training the network as it is")
        return outcome_of(self.material, self.material.train())

    def _look_at_outcome(self, own: Outcome) -> None:
        start = self.start
        self.findings += [
            after.check_finite_training(own, self.test),
            *self._try_remedies(own),
            after.check_overfits_one_batch(start, self.test),
            after.check_update_size(own),
            after.check_frozen_layers(own),
            after.check_dead_units(own, start),
        ]
        if own.finite:
            self.findings += [
                after.check_beats_baseline(own, self.constant),
                after.check_underfitting(own, self.reference),
                after.check_overfitting(own, self.constant),
            ]

    def _try_remedies(self, own: Outcome) -> list[Finding]:
        """Try what may help, where there is reason to; the best is the fault."""
        trials = []
        for remedy in self._worth_trying(own):
            self.tell(f"training once more: {remedy.words}")
            trials.append(remedies.try_remedy(remedy, own, self.constant))
        best = remedies.best_of(trials)
        tried = [remedies.judge(trial, is_best=trial is best) for trial in trials]
        done = {finding.check for finding in tried}
        if own.finite and "learning_rate" not in done:
            tried.append(remedies.untried_rate(own.trained.estimator, self.test))
            done.add("learning_rate")
        tried = [
            remedies.beyond_the_edge(finding, own.trained.estimator, self.test) for finding in tried
        ]
        return tried + [
            skipped(name, "No reason to try: nothing is left to gain, or there is none to change.")
            for name in ("capacity", "regularisation", "epochs")
            if name not in done
        ]

    def _worth_trying(self, own: Outcome) -> list[remedies.Remedy]:
        estimator = own.trained.estimator
        by_epochs = own.trained.probe.net_ is not None
        rate = remedies.learning_rate_remedy(estimator, self.test) if by_epochs else None
        if not own.finite:
            return [] if rate is None else [rate]
        behind = after.check_underfitting(own, self.reference).status == "warn"
        much_left = own.train_loss > remedies.MUCH_LEFT * self.constant.train
        much = behind or much_left
        if rate is not None and not (much or remedies.is_far(estimator, self.test)):
            rate = None
        longer = remedies.epochs_remedy(estimator, own) if much and by_epochs else None
        others = [remedies.regularisation_remedy(estimator), remedies.capacity_remedy(estimator)]
        # From the cheapest on: an early stop is sooner changed than anything else.
        first = [longer, rate] if estimator.early_stopping else [rate, longer]
        wanted = [*first, *others] if much else [rate]
        return [remedy for remedy in wanted if remedy is not None]
