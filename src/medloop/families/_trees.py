"""Forests and boosted trees of scikit-learn as ONNX, written straight from their arrays.

One ``TreeEnsembleRegressor`` holds all trees. Thresholds are rounded down to float32, so that ``x <= threshold`` has the same
answer as in scikit-learn for every float32 ``x``. (skl2onnx 1.20 cannot convert boosting of scikit-learn 1.9, and takes three
times as long for a forest.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from medloop.types import Floats, Integers

THREADS = 2
"""Threads with which ONNX Runtime answers."""
_ML_OPSET, _OPSET, _IR = 3, 17, 8


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """Trees laid end to end. ``left`` and ``right`` count within their tree; a leaf has ``feature`` -1. ``values``: ``(nodes,
    targets)``, used at leaves."""

    tree: Integers
    node: Integers
    feature: Integers
    threshold: Floats
    left: Integers
    right: Integers
    values: Floats


def round_down(threshold: Floats) -> Floats:
    """The largest float32 not above each float64 number."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


def forest_nodes(forest: Any, *, probabilities: bool) -> Nodes:
    """The trees of a random forest or extra trees. Binary: the share of the second class; otherwise one value a class, or the
    number."""
    parts = []
    for number, each in enumerate(forest.estimators_):
        tree = each.tree_
        value = tree.value[:, 0, :]
        if probabilities:
            value = value / value.sum(axis=1, keepdims=True)
            value = value[:, 1:] if value.shape[1] == 2 else value
        parts.append(_nodes(number, tree.children_left, tree.children_right, tree.feature, tree.threshold, value))
    return _joined(parts)


def boosting_nodes(model: Any) -> Nodes:
    """The trees of histogram boosting: one target a class (one in all for binary and numbers), to be summed."""
    parts = []
    targets = model.n_trees_per_iteration_
    for step, trees in enumerate(model._predictors):
        for target, predictor in enumerate(trees):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            value = np.zeros((len(nodes), targets))
            value[leaf, target] = nodes["value"][leaf]
            left = np.where(leaf, -1, nodes["left"].astype(np.int64))
            right = np.where(leaf, -1, nodes["right"].astype(np.int64))
            feature = nodes["feature_idx"].astype(np.int64)
            parts.append(_nodes(step * targets + target, left, right, feature, nodes["num_threshold"], value))
    return _joined(parts)


def leaf(value: float) -> Nodes:
    """One tree that is one leaf: the same answer for everything."""
    alone = np.array([-1])
    return _nodes(0, alone, alone, alone, np.zeros(1), np.full((1, 1), value))


def to_onnx(nodes: Nodes, *, average: bool, base: Floats, width: int) -> bytes:
    """An ONNX file: ``features`` ``(n, width)`` float32 to ``scores`` ``(n, targets)`` float32, averaged or summed over trees,
    plus ``base``."""
    ends = nodes.feature < 0
    targets = nodes.values.shape[1]
    filled = ends.nonzero()[0].repeat(targets)
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["scores"],
        domain="ai.onnx.ml",
        n_targets=targets,
        aggregate_function="AVERAGE" if average else "SUM",
        base_values=[float(each) for each in base],
        post_transform="NONE",
        nodes_treeids=nodes.tree.tolist(),
        nodes_nodeids=nodes.node.tolist(),
        nodes_featureids=np.where(ends, 0, nodes.feature).tolist(),
        nodes_values=round_down(np.where(ends, 0.0, nodes.threshold)).tolist(),
        nodes_modes=np.where(ends, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_truenodeids=np.where(ends, 0, nodes.left).tolist(),
        nodes_falsenodeids=np.where(ends, 0, nodes.right).tolist(),
        nodes_missing_value_tracks_true=np.zeros(len(ends), int).tolist(),
        target_treeids=nodes.tree[filled].tolist(),
        target_nodeids=nodes.node[filled].tolist(),
        target_ids=np.tile(np.arange(targets), int(ends.sum())).tolist(),
        target_weights=nodes.values[ends].ravel().tolist(),
    )
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, targets])],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="medloop")
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def session(content: bytes) -> onnxruntime.InferenceSession:
    """A session for one ONNX file's content."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(live: onnxruntime.InferenceSession, features: Floats) -> Floats:
    """``(n, targets)`` float64 of ``(n, width)`` features."""
    answer: Floats = live.run(None, {"features": np.ascontiguousarray(features, np.float32)})[0]
    return answer.astype(np.float64)


def _nodes(number: int, left: Integers, right: Integers, feature: Integers, threshold: Floats, value: Floats) -> Nodes:
    leaf = left < 0
    size = len(leaf)
    return Nodes(np.full(size, number), np.arange(size), np.where(leaf, -1, feature), threshold, left, right, value)


def _joined(parts: list[Nodes]) -> Nodes:
    names = ("tree", "node", "feature", "threshold", "left", "right", "values")
    return Nodes(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
