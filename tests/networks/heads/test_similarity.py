from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from medloop.networks.classifier import ClassifierSpec
from medloop.networks.heads import similarity
from medloop.networks.heads.similarity import SimilarityHead


def _places(count=6, seed=0):
    return normalize(torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))).requires_grad_()


def test_the_loss_is_that_of_khosla():
    places, proxies, classes = _places().detach(), _places(2, 1).detach(), torch.tensor([0, 1, 0, 1, 1, 0])
    whole, kinds = torch.cat([places, proxies]), torch.cat([classes, torch.arange(2)])
    costs = []
    for one in range(6):
        others = [other for other in range(8) if other != one]
        near = torch.exp(whole[one] @ whole[others].T / 0.1)
        alike = kinds[others] == kinds[one]
        costs.append(-torch.log(near[alike] / near.sum()).mean())
    assert float(similarity.loss(places, proxies, classes)) == pytest.approx(float(torch.stack(costs).mean()), rel=1e-5)


def test_unknown_cases_cost_nothing_and_are_nobodys_neighbours():
    places, proxies = _places(), _places(2, 1)
    classes = torch.tensor([0, -1, 0, 1, -1, 1])
    loss = similarity.loss(places, proxies, classes)
    loss.backward()
    assert (places.grad[classes < 0] == 0).all()
    assert (places.grad[classes >= 0] != 0).any(dim=1).all()
    known = similarity.known(classes)
    assert float(loss.detach()) == pytest.approx(float(similarity.loss(places[known], proxies, classes[known]).detach()), rel=1e-5)
    nobody = similarity.loss(places, proxies, torch.full((6,), -1))
    assert float(nobody.detach()) == 0


def test_one_case_alone_comes_to_its_class():
    torch.manual_seed(0)
    head = SimilarityHead(5, ClassifierSpec(4), 2)
    row, target = torch.randn(1, 1, 5), torch.tensor([1])
    optimiser = torch.optim.SGD(head.parameters(), 0.1)
    for _ in range(30):
        optimiser.zero_grad()
        similarity.loss(head(row), head.places(), target).backward()
        optimiser.step()
    near = (head(row) @ head.places().T)[0]
    assert near[1] > 0.9 > near[0]
    assert torch.allclose(head(row).norm(dim=1), torch.ones(1))
