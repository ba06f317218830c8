from datetime import timedelta

import pytest
import sqlalchemy as sa

from medloop.errors import InputError
from medloop.store import audit, forget, labels, proposals, reviews, settings, studies
from medloop.store.records import LabelRow, ProposalRow, ReviewRow, now
from medloop.types import ImageRef


@pytest.fixture
def patients(store, study):
    """Two patients with an image each and one that both have; everything that can be said is said."""

    def image(content, name):
        key = store.blobs.put(content, ".png")
        return ImageRef(name=f"{name}.png", reader="raster", files=(str(store.blobs.path(key)),), patient=name)

    for name in ("Doe", "Roe"):
        number = study(
            f"{name}.png",
            patient=name,
            site="here",
            refs=(image(name.encode(), name), image(b"both", name)),
            attributes={"sex": "F"},
        )
        mask, heat = (store.blobs.put(f"{what} of {name}".encode()) for what in ("mask", "heat"))
        (proposal,) = proposals.append(
            store, [ProposalRow(case_id=number, model_id=1, label="p", findings={"heat": {"blob": heat}}, summary=name)], "worker"
        )
        said = ReviewRow(
            case_id=number, author="ada", action="accept", proposal_id=proposal, reason=f"of {name}", findings={"masks": mask}
        )
        reviews.commit(store, said)
    return store


def test_nothing_of_the_patient_is_left_and_the_trail_is_whole(patients, database):
    store = patients
    gone = forget.patient(store, "Doe", "asked for it", "ada")
    assert (gone.studies, gone.blobs) == (1, 3)
    row = studies.get(store, 1)
    assert (row.state, row.patient, row.name, row.refs, row.attributes) == ("deleted", None, "deleted 1", (), {})
    assert labels.current(store, [1]) == {}
    assert proposals.history(store, 1) == []
    assert audit.verify(store) == []
    assert audit.page(store, limit=1)[0].content == {"reason": "asked for it", "studies": [1], "blobs": 3}
    assert {entry.content for entry in audit.page(store, subject="study:1")} == {None}
    assert [store.blobs.get(key) for key in store.blobs.every()].count(b"both") == 1
    assert len(store.blobs.every()) == 4
    with store.read() as connection:
        for name in sa.inspect(connection).get_table_names():
            assert not [row for row in connection.exec_driver_sql(f"SELECT * FROM {name}") if "Doe" in str(row)], name
    if not store.postgresql:
        assert not any(b"Doe" in path.read_bytes() for path in store.root.glob("loop.sqlite*"))


def test_the_other_patient_is_as_before(patients):
    before = (studies.get(patients, 2), labels.current(patients, [2]), audit.page(patients, subject="study:2"))
    forget.patient(patients, "Doe", "asked for it", "ada")
    assert (studies.get(patients, 2), labels.current(patients, [2]), audit.page(patients, subject="study:2")) == before


def test_what_is_not_a_patient_or_a_reason_is_refused(patients):
    with pytest.raises(InputError, match="no such patient"):
        forget.patient(patients, "doe", "asked for it", "ada")
    with pytest.raises(InputError, match="no reason"):
        forget.patient(patients, "Doe", " ", "ada")


def test_a_deleted_study_stays_deleted_and_its_rows_stay_blank(patients):
    forget.patient(patients, "Doe", "asked for it", "ada")
    with pytest.raises(InputError):
        studies.set_state(patients, 1, "ready", "ada")
    with pytest.raises(InputError):
        reviews.commit(patients, ReviewRow(case_id=1, author="ada", action="correct", value="x"), reviews.head(patients, 1))
    with pytest.raises(sa.exc.DBAPIError, match="never changed"), patients.write() as connection:
        connection.exec_driver_sql("UPDATE labels SET value = '\"x\"' WHERE case_id = 1")


def test_cut_short_it_can_be_done_again(patients, monkeypatch):
    """Killed while blobs are deleted: the patient is still known, so the same command ends it."""

    def killed(key):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(patients.blobs, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            forget.patient(patients, "Doe", "asked for it", "ada")
    assert studies.get(patients, 1).patient == "Doe"
    assert forget.patient(patients, "Doe", "asked for it", "ada").blobs == 3


def test_images_are_deleted_when_done_long_enough(patients, study):
    store = patients
    assert forget.expired(store, "ada") == forget.Gone(0, 0)
    settings.put(store, {"keep_days": 30}, "ada")
    assert forget.expired(store, "ada") == forget.Gone(0, 0)
    key = store.blobs.put(b"old")
    ref = ImageRef(name="old", reader="raster", files=(str(store.blobs.path(key)),))
    long_ago = now() - timedelta(days=31)
    old = study("old", state="done", refs=(ref,))
    frozen = study("frozen", state="done", refs=(ref,), frozen=True)
    for each in (old, frozen):
        labels.append(store, LabelRow(case_id=each, value="normal", time=long_ago), "ada")
    assert forget.expired(store, "ada") == forget.Gone(1, 0)  # the frozen one has the same image
    studies.draw(store, frozen, "ada", frozen=False)
    assert forget.expired(store, "ada") == forget.Gone(1, 1)
    assert not store.blobs.has(key)
    assert studies.get(store, old).refs == ()
    assert labels.current(store, [old])[old, "classes"].value == "normal"
    assert forget.expired(store, "ada") == forget.Gone(0, 0)
    assert audit.verify(store) == []
