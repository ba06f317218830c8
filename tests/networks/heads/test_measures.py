from __future__ import annotations

import numpy as np
import pytest
import torch

from medloop.networks.heads import measures
from medloop.networks.heads.measures import Scale

NUMBERS = np.array([[1.0, 100.0, np.nan], [3.0, np.nan, np.nan], [5.0, 300.0, np.nan]])


def test_measures_in_units_of_their_spread():
    scale = Scale.learn(NUMBERS)
    scaled = scale.to(NUMBERS)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[:, 0], [-np.sqrt(1.5), 0, np.sqrt(1.5)], rtol=1e-6)
    np.testing.assert_allclose(scaled[[0, 2], 1], [-1, 1])
    assert scale.deviation[2] == 1
    np.testing.assert_allclose(scale.back(scaled), NUMBERS, rtol=1e-6)
    assert Scale.from_json(scale.to_json()) == scale


def test_what_is_unknown_costs_nothing():
    truth = torch.from_numpy(Scale.learn(NUMBERS).to(NUMBERS))
    outputs = torch.full((3, 3), 0.25, requires_grad=True)
    loss = measures.loss(outputs, truth)
    loss.backward()
    unknown = torch.isnan(truth)
    assert (outputs.grad[unknown] == 0).all()
    assert (outputs.grad[~unknown] != 0).all()
    known = truth[~unknown]
    assert float(loss.detach()) == pytest.approx(
        float(torch.nn.functional.huber_loss(torch.full_like(known, 0.25), known)), rel=1e-5
    )
    assert measures.known(truth).tolist() == [True, True, True]
    assert measures.known(torch.full((2, 3), torch.nan)).tolist() == [False, False]
    assert float(measures.loss(outputs, torch.full((3, 3), torch.nan)).detach()) == 0
