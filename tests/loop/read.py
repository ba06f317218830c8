"""Cases that two readers read, half of them blind, of which one follows what the model says."""

from __future__ import annotations

import numpy as np

from medloop.store import Store, proposals, reviews, settings, studies
from medloop.store.records import ProposalRow, ReviewRow, StudyRow
from medloop.types import Array

COUNT = 60


def read_twice(records: Store, second: int = 30) -> dict[str, Array]:
    """Sixty cases: a model is wrong in a quarter; ann reads all, following it where she sees it; ben reads the first ``second``."""
    settings.put(records, {"readers": 2}, "test")
    draw = np.random.default_rng(0)
    truth = draw.choice(["well", "sick"], COUNT)
    said, ann, ben = (_words(draw, truth, share) for share in (0.25, 0.05, 0.1))
    blind = np.arange(COUNT) % 2 == 0
    ann = np.where(blind, ann, said)
    for at in range(COUNT):
        row = StudyRow(name=f"{at}", content=f"{at}", patient=f"p{at}", state="ready", blind=bool(blind[at]))
        number, _ = studies.add(records, row, "test")
        (proposal,) = proposals.append(records, [ProposalRow(case_id=number, model_id=1, label=str(said[at]))], "test")
        known = None if blind[at] else proposal
        for author, value in (("ann", ann[at]), *((("ben", ben[at]),) if at < second else ())):
            new = ReviewRow(
                case_id=number, author=author, action="correct", value=str(value), proposal_id=known, blind=bool(blind[at])
            )
            reviews.commit(records, new, seen=reviews.head(records, number))
    return {"said": said, "ann": ann, "ben": ben, "blind": blind}


def _words(draw: np.random.Generator, like: Array, share: float) -> Array:
    """The same answers, but for a share of them."""
    return np.where(draw.random(len(like)) < share, np.where(like == "sick", "well", "sick"), like)
