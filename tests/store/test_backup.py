import itertools
import shutil
import threading

import pytest

from medloop import store as stores
from medloop.errors import InputError, Refused
from medloop.store import accounts, audit, backup, labels, reviews, settings, studies
from medloop.store.records import LabelRow, ReviewRow
from medloop.types import ImageRef

_numbers = itertools.count()
pytestmark = pytest.mark.usefixtures("cheap_passwords")


@pytest.fixture
def filled(store, study):
    """A store with an image, a review, an account and a model."""
    key = store.blobs.put(b"pixels", ".nii.gz")
    case = study(
        patient="Doe", refs=(ImageRef(name="a", reader="nifti", files=(str(store.blobs.path(key)),), facts=(("modality", "CT"),)),)
    )
    reviews.commit(
        store, ReviewRow(case_id=case, author="ada", action="correct", value="normal", seconds=0.1, reason="\N{SNOWMAN}")
    )
    number = accounts.add(store, "ada", "admin", "a long password", "ada").id
    accounts.open_session(store, number)
    accounts.add_token(store, number, "script", "ada")
    settings.put(store, {"readers": 2, "target": None}, "ada")
    model = store.root / "models" / "one"
    model.mkdir(parents=True)
    (model / "weights.bin").write_bytes(b"weights")
    return store


@pytest.fixture
def held(filled, tmp_path):
    return backup.backup(filled, tmp_path / "held")


@pytest.fixture(params=["sqlite", "postgresql"])
def elsewhere(request, tmp_path):
    """A workspace and a database without records, of each kind."""
    root = tmp_path / "elsewhere"
    if request.param == "sqlite":
        return root, f"sqlite:///{root / 'loop.sqlite'}"
    from tests.postgresql import new_database

    address = request.getfixturevalue("postgresql")
    return root, new_database(address, f"restored{next(_numbers)}").render_as_string()


def test_a_backup_brings_everything_back_on_either_database(filled, held, elsewhere, tmp_path):
    assert (held.studies, held.blobs, held.models) == (1, 1, 1)
    assert held.head == "{}:{}".format(*audit.last(filled))
    root, database = elsewhere
    assert backup.restore(root, tmp_path / "held", database) == held
    again = stores.open(root, database)
    try:
        row = studies.get(again, 1)
        assert row.refs[0].files == (str(root / "blobs" / row.refs[0].files[0][-71:-69] / row.refs[0].files[0][-71:]),)
        assert again.blobs.get(again.blobs.key_of(row.refs[0].files[0])) == b"pixels"
        assert labels.current(again) == labels.current(filled)
        assert reviews.of_case(again, 1) == reviews.of_case(filled, 1)
        assert settings.every(again) == settings.every(filled)
        assert accounts.log_in(again, "ada", "a long password").role == "admin"
        assert len(accounts.tokens(again, 1)) == 1
        assert (root / "models" / "one" / "weights.bin").read_bytes() == b"weights"
        assert audit.verify(again, audit.last(filled)) == []
        assert audit.page(again, subject="study:1")[-1].content["name"] == "a.png"
        labels.append(again, LabelRow(case_id=1, value="x"), "ada")  # numbers go on where they were
        assert audit.verify(again) == []
    finally:
        again.close()


def test_a_backup_is_one_moment_while_readers_go_on(filled, study, tmp_path):
    stop = threading.Event()

    def read():
        number = 0
        while not stop.is_set():
            number += 1
            case = study(f"{number}.png", patient=f"P{number}")
            labels.append(filled, LabelRow(case_id=case, value="normal"), "ada")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(3):
            backup.backup(filled, tmp_path / f"held-{number}")
    finally:
        stop.set()
        reader.join()
    root = tmp_path / "elsewhere"
    backup.restore(root, tmp_path / "held-2", f"sqlite:///{root / 'loop.sqlite'}")  # verifies the trail


@pytest.mark.parametrize("harm", ["change", "remove", "add", "list"])
def test_a_damaged_backup_is_refused_and_nothing_is_brought_back(held, tmp_path, harm):
    folder, root = tmp_path / "held", tmp_path / "elsewhere"
    blob = next(path for path in (folder / "blobs").rglob("*") if path.is_file())
    match harm:
        case "change":
            blob.write_bytes(b"pixelz")
        case "remove":
            blob.unlink()
        case "add":
            (folder / "models" / "two").mkdir()
            (folder / "models" / "two" / "weights.bin").write_bytes(b"")
        case "list":
            (folder / "backup.json").write_text("{")
    with pytest.raises(InputError) as refused:
        backup.restore(root, folder, f"sqlite:///{root / 'loop.sqlite'}")
    assert refused.value.code == ("no-backup" if harm == "list" else "damaged-backup")
    assert not (root / "loop.sqlite").exists()


def test_records_are_never_overwritten(filled, held, database, tmp_path):
    with pytest.raises(Refused, match="already"):
        backup.restore(filled.root, tmp_path / "held", database)
    with pytest.raises(InputError, match="already"):
        backup.backup(filled, tmp_path / "held")


def test_a_store_whose_images_are_gone_says_so(filled, tmp_path):
    shutil.rmtree(filled.root / "blobs")
    with pytest.raises(InputError, match="1 images"):
        backup.backup(filled, tmp_path / "held")
    assert not (tmp_path / "held").exists()
