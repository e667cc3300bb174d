"""Crafted trees are refused before anything is predicted with them."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from sklearn.ensemble import (
    GradientBoostingClassifier,
)
from sklearn.tree import DecisionTreeClassifier

from mlfund import (
    _saved_trees,
)
from mlfund._saved_trees import check_trees
from mlfund.persistence import (
    PersistenceError,
    UntrustedTypeError,
    load,
)
from tests.saved_models import LABELS, X, Y, dump, edit, fitted


@pytest.fixture
def write(tmp_path):
    def write_bytes(data):
        (tmp_path / "file.skops").write_bytes(data)
        return tmp_path / "file.skops"

    return write_bytes


def tampered(kind, field, node, value):
    """Return a fitted model whose first tree has one number changed."""
    model = copy.deepcopy(fitted(kind))
    tree = model.estimators_[0].tree_ if hasattr(model, "estimators_") else model.tree_
    state = tree.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][field][node] = value
    tree.__setstate__(state)
    return model


@pytest.mark.parametrize(
    ("field", "node", "value", "message"),
    [
        ("left_child", 0, 10**6, "leads outside"),
        ("right_child", 0, -7, "leads outside"),
        ("left_child", 1, 0, "leads outside"),  # back to the root: a path without end
        ("right_child", 0, 0, "leads outside"),
        ("right_child", 0, -1, "leads outside"),
        ("feature", 0, 6, "a feature that is not there"),
        ("feature", 0, -2, "a feature that is not there"),
    ],
)
@pytest.mark.parametrize("kind", ["forest", "tree"])
def test_a_tree_that_leaves_its_bounds_is_refused(kind, field, node, value, message, write):
    path = write(dump(tampered(kind, field, node, value)))
    with pytest.raises(PersistenceError, match=message):
        load(path)


def test_a_tree_for_more_columns_than_its_owner_lets_in_is_refused(write):
    wide = DecisionTreeClassifier(random_state=0).fit(np.hstack([X[:, :1] * 0, X]), LABELS)
    for kind in ("tree", "forest"):
        model = copy.deepcopy(fitted(kind))
        if kind == "tree":
            model.tree_ = wide.tree_
        else:
            model.estimators_[1] = wide
        with pytest.raises(PersistenceError, match="another number of columns"):
            load(write(dump(model)))


def test_trees_of_models_that_are_not_reviewed_are_refused(write):
    model = GradientBoostingClassifier(n_estimators=2).fit(X, Y)
    with pytest.raises(PersistenceError):
        load(write(dump(model)))


def tree_node(schema):
    return next(n for n in _saved_trees._nodes(schema) if n["__loader__"] == "TreeNode")


def more_outputs(schema):
    tree_node(schema)["__reduce__"]["args"]["content"][2].update(content="1000000", __id__=1)


def aliased_arguments(schema):
    tree_node(schema)["__reduce__"]["args"]["__id__"] = schema["__id__"]


def called_class(schema):
    tree = tree_node(schema)
    tree["__loader__"] = "ConstructorFromReduceNode"
    tree["content"] = tree["__reduce__"]["args"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (more_outputs, "outputs do not match its classes"),
        (aliased_arguments, "two different objects of the same identity"),
        (called_class, "Tree to be built by ConstructorFromReduceNode"),
    ],
)
def test_a_tree_built_in_a_crafted_way_is_refused_before_it_is_built(change, message, write):
    def changed(text):
        schema = json.loads(text)
        change(schema)
        return json.dumps(schema)

    with pytest.raises(PersistenceError, match=message):
        load(write(edit(dump(fitted("tree")), changed)))


@pytest.fixture(scope="module")
def boosted():
    xgboost = pytest.importorskip("xgboost")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X).assign(kind=pandas.Categorical(np.arange(len(X)) % 7))
    options = {"n_estimators": 3, "max_depth": 3, "enable_categorical": True, "n_jobs": 1}
    models = [
        xgboost.XGBClassifier(**options, booster=booster).fit(frame, Y % classes)
        for booster, classes in [("gbtree", 2), ("dart", 2)]
    ]
    models.append(xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(X, np.arange(len(X)) % 3))
    models.append(xgboost.XGBRegressor(booster="gblinear", n_jobs=1).fit(X, Y))
    return models


def test_boosted_trees_pass_the_check(boosted):
    for model in boosted:
        check_trees(model)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("left_children", 10**6, "leads outside"),
        ("left_children", 0, "leads outside"),
        ("right_children", "left", "a loop"),
        ("split_indices", 99, "a feature that is not there"),
        ("categories_sizes", 99, "categories that are not there"),
    ],
)
def test_crafted_boosted_trees_are_refused(boosted, key, value, message):
    model = json.loads(bytes(boosted[0].get_booster().save_raw("json")))
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    tree = next(tree for tree in trees if tree["categories_sizes"])
    tree[key][0] = tree["left_children"][0] if value == "left" else value

    class Booster:
        def save_raw(self, form):
            return json.dumps(model).encode()

    Booster.__module__ = "xgboost.core"
    with pytest.raises(ValueError, match=message):
        check_trees({"booster": Booster()})


def test_plain_wrappers_of_xgboost_are_refused_by_name(boosted, write):
    with pytest.raises(UntrustedTypeError, match=r"xgboost.sklearn.XGBClassifier"):
        load(write(dump(boosted[2])))
