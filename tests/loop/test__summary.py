"""One paragraph that a doctor can read."""

from __future__ import annotations

from medloop.loop._summary import summary
from medloop.store.records import ProposalRow


def made(**more: object) -> ProposalRow:
    usual = {"case_id": 1, "model_id": 1, "label": "tumour", "confidence": 0.9, "probabilities": {"tumour": 0.9, "no tumour": 0.1}}
    return ProposalRow(**(usual | more))  # type: ignore[arg-type]


def test_a_proposal_that_may_stand() -> None:
    assert summary(made(decision="accept")) == "Proposed: tumour (90 % sure; no tumour 10 %). It may be pre-filled."


def test_nobody_is_quite_certain() -> None:
    told = summary(made(confidence=0.9999, probabilities={"tumour": 0.9999, "no tumour": 0.0001}, why="Too few."))
    assert told == "Proposed: tumour (more than 99 % sure). A person must decide: Too few."


def test_findings_rules_and_codes() -> None:
    found = {
        "measures": [
            {"name": "tumour count", "value": 2.0, "unit": ""},
            {"name": "tumour longest diameter", "value": 31.42, "unit": "mm"},
            {"name": "tumour elongation", "value": 0.4, "unit": ""},
            {"name": "cyst count", "value": 0.0, "unit": ""},
        ],
        "violations": [{"rule": "in the liver", "value": "outside", "allowed": "inside"}],
    }
    codes = [{"class": "tumour", "standard": "ICD-10", "code": "D37.6", "name": "Neoplasm"}]
    told = summary(made(findings=found, standards=codes, why="What was found breaks a rule."))
    assert "Found: tumour count 2, tumour longest diameter 31.4 mm." in told
    assert "Breaks a rule: in the liver (outside; allowed inside)." in told
    assert "Codes: ICD-10 D37.6 (Neoplasm)." in told
    boxes = {"boxes": {"classes": ["nodule"], "boxes": [{"class": 0}, {"class": 0}]}}
    assert "Found: 2 nodule." in summary(made(findings=boxes))


def test_of_the_unlike_nothing_is_said() -> None:
    told = summary(made(label="", confidence=None, probabilities={}, decision="unlike", why="Too unlike: it is MR."))
    assert told == "Nothing is proposed. A person must decide: Too unlike: it is MR."


def test_numbers_and_several_labels() -> None:
    assert summary(made(label="61.2", confidence=None, probabilities={})) == "Proposed: 61.2. A person must decide."
    several = made(label="effusion|nodule", probabilities={"effusion": 0.9, "nodule": 0.8})
    assert summary(several).startswith("Proposed: effusion, nodule (90 % sure).")
    assert "none of the findings" in summary(made(label="", probabilities={"effusion": 0.1}))
    masks_only = made(label="", confidence=None, probabilities={}, findings={"measures": []})
    assert summary(masks_only) == "A person must decide."
