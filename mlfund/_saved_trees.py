"""Structural checks of tree ensembles that come out of a file.

scikit-learn and XGBoost follow the node numbers of a tree without looking at
bounds, in C: a crafted file could make `predict` read foreign memory or never
end. skops therefore does not trust `sklearn.tree._tree.Tree`. mlfund does,
because what this module lets pass has only indices that stay inside the tree
(https://github.com/scikit-learn/scikit-learn/pull/34558).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["check_schema", "check_trees"]

_LEAF = -1
_FORESTS = "sklearn.ensemble._forest"
# Their compiled prediction trusts more than the trees: shapes of arrays beside them.
_NOT_REVIEWED = ("sklearn.ensemble._gb", "sklearn.ensemble._iforest")


def check_schema(schema: Any, read: Callable[[str], bytes], loaders: Mapping[str, str]) -> None:
    """Check how a skops file wants to build its objects, before any is built.

    A skops file names for each type one of several ways to build it. Among them
    are calls of the class with arguments from the file, which few classes are
    made to withstand: ``Booster(model_file=...)`` opens a file.
    scikit-learn's ``Tree`` reads ``n_outputs`` entries of ``n_classes`` without
    looking at the length.

    Parameters
    ----------
    schema : object
        The parsed ``schema.json`` of a skops file.
    read : callable
        Returns the bytes of a member of that file, by name.
    loaders : dict of str to str
        Import path of a type to the only skops loader allowed for it.

    Raises
    ------
    ValueError
        If a type is built in another way, or a tree's arguments do not fit together.
    """
    by_identity: dict[Any, Any] = {}
    ambiguous = set()
    trees = []
    for node in _nodes(schema):
        # skops takes a later node of the same identity for the earlier one
        if by_identity.setdefault(node.get("__id__"), node) != node:
            ambiguous.add(node.get("__id__"))
        name, loader = f"{node.get('__module__')}.{node.get('__class__')}", node["__loader__"]
        _require(loaders.get(name, loader) == loader, f"{name} to be built by {loader}")
        if loader == "TreeNode":
            trees.append(node)
    for tree in trees:
        _check_tree_arguments(tree, ambiguous, read)


def _check_tree_arguments(
    tree: dict[str, Any], ambiguous: Container[Any], read: Callable[[str], bytes]
) -> None:
    arguments = tree["__reduce__"]["args"]
    features, classes, outputs = parts = arguments["content"]
    same = not any(node.get("__id__") in ambiguous for node in (tree, arguments, *parts))
    _require(same, "two different objects of the same identity")
    n_classes = np.load(io.BytesIO(read(classes["file"])), allow_pickle=False)
    n_features, n_outputs = json.loads(features["content"]), json.loads(outputs["content"])
    _require(isinstance(n_features, int) and n_features >= 1, "a tree without features")
    _require(n_classes.dtype == np.intp, "a tree whose class counts are no integers")
    _require(n_classes.shape == (n_outputs,), "a tree whose outputs do not match its classes")
    _require(n_outputs >= 1 and n_classes.min() >= 1, "a tree without outputs or classes")


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """All nodes of a skops schema, in the order skops visits them."""
    if isinstance(schema, dict):
        if "__loader__" in schema:
            yield schema
        for value in schema.values():
            yield from _nodes(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _nodes(value)


def check_trees(model: Any) -> None:
    """Check all trees of scikit-learn and XGBoost that a loaded model holds.

    Parameters
    ----------
    model : object
        What came out of a file, before anything is predicted with it.

    Raises
    ------
    ValueError
        If an index leaves a tree or its features, or a path has no end.
    """
    for item in _reachable(model):
        module, name = type(item).__module__, type(item).__name__
        if (module, name) == ("sklearn.tree._tree", "Tree"):
            _check_sklearn_tree(item)
        elif (module, name) == ("xgboost.core", "Booster"):
            _check_booster(item)
        elif hasattr(item, "__dict__") and not isinstance(item, type):
            _check_owner(vars(item), module)


def _reachable(model: Any) -> Iterator[Any]:
    """Everything reachable through attributes, containers and object arrays, once each."""
    seen: dict[int, Any] = {}
    stack = [model]
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen[id(item)] = item  # holds the item, so that its id stays its own
        yield item
        if isinstance(item, Mapping):
            stack.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset):
            stack.extend(item)
        elif isinstance(item, np.ndarray) and item.dtype == object:
            stack.extend(item.ravel().tolist())
        elif hasattr(item, "__dict__") and not isinstance(item, type):
            stack.extend(vars(item).values())


def _require(condition: Any, problem: str) -> None:
    if not condition:
        raise ValueError(f"it holds {problem}")


def _check_sklearn_tree(tree: Any) -> None:
    _require(0 < tree.node_count == tree.capacity, "a tree with a wrong number of nodes")
    nodes = tree.__getstate__()["nodes"]
    left, right = nodes["left_child"], nodes["right_child"]
    inner = np.flatnonzero(left != _LEAF)
    for child in (left[inner], right[inner]):
        # A child has a higher number than its parent, so every path ends.
        inside = (child > inner) & (child < tree.node_count)
        _require(inside.all(), "a tree with a branch that leads outside")
    feature = nodes["feature"][inner]
    inside = (feature >= 0) & (feature < tree.n_features)
    _require(inside.all(), "a tree that splits a feature that is not there")


def _check_owner(attributes: Mapping[str, Any], module: str) -> None:
    """Check that an estimator lets in as many columns as its trees expect."""
    columns = attributes.get("n_features_in_")
    tree: Any = attributes.get("tree_")
    if hasattr(tree, "n_features") and hasattr(tree, "node_count"):
        _require(columns == tree.n_features, "a tree made for another number of columns")
    if "booster_bytes_" in attributes:
        _check_booster_bytes(attributes["booster_bytes_"])
    members = attributes.get("estimators_")
    if members is None or not module.startswith((_FORESTS, *_NOT_REVIEWED)):
        return
    trees = [getattr(m, "tree_", None) for m in np.asarray(members, dtype=object).ravel().tolist()]
    _require(not module.startswith(_NOT_REVIEWED), f"trees of {module}, which is not reviewed")
    same = all(getattr(tree, "n_features", None) == columns for tree in trees)
    _require(same, "a forest with a tree made for another number of columns")


def _check_booster_bytes(saved: np.ndarray) -> None:
    """Check a model that mlfund's boosted trees keep in XGBoost's UBJSON form."""
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(saved.tobytes()))
    _check_booster(booster)


def _check_booster(booster: Any) -> None:
    model = json.loads(bytes(booster.save_raw("json")))["learner"]
    columns = int(model["learner_model_param"]["num_feature"])
    gradient_booster = model["gradient_booster"]
    if gradient_booster["name"] == "gblinear":
        return
    # dart wraps the model of gbtree
    trees = gradient_booster.get("gbtree", gradient_booster)["model"]["trees"]
    for tree in trees:
        _check_boosted_tree(tree, columns)


def _check_boosted_tree(tree: Mapping[str, Any], columns: int) -> None:
    left = np.asarray(tree["left_children"], dtype=np.int64)
    right = np.asarray(tree["right_children"], dtype=np.int64)
    inner = np.flatnonzero(left != _LEAF)
    children = np.concatenate([left[inner], right[inner]])
    # Pruning may give a child a lower number than its parent. With one parent for
    # each node at most, and none for the root, a path can still not come back.
    inside = (children > 0) & (children < len(left))
    _require(inside.all(), "a boosted tree with a branch that leads outside")
    _require(len(np.unique(children)) == len(children), "a boosted tree with a loop")
    feature = np.asarray(tree["split_indices"], dtype=np.int64)[inner]
    inside = (feature >= 0) & (feature < columns)
    _require(inside.all(), "a boosted tree that splits a feature that is not there")
    starts = np.asarray(tree["categories_segments"], dtype=np.int64)
    sizes = np.asarray(tree["categories_sizes"], dtype=np.int64)
    inside = (starts >= 0) & (sizes >= 0) & (starts + sizes <= len(tree["categories"]))
    _require(inside.all(), "a boosted tree with categories that are not there")
