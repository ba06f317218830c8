"""A process that is killed while it confirms: what it was told is kept is kept, and the trail is whole."""

import subprocess
import sys
from pathlib import Path

from medloop import store as stores
from medloop.store import audit, labels, studies
from medloop.store.records import StudyRow

_READER = """
import sys
from pathlib import Path
from medloop import store as stores
from medloop.store import reviews
from medloop.store.records import ReviewRow

opened = stores.open(Path(sys.argv[1]), sys.argv[2])
for case in range(1, 60):
    reviews.commit(opened, ReviewRow(case_id=case, author="ada", action="correct", value=f"value {case}"))
    print(case, flush=True)
"""


def test_what_was_confirmed_before_a_kill_is_kept(store, database):
    for number in range(60):
        studies.add(store, StudyRow(name=str(number), content=str(number), state="ready"), "ada")
    confirmed = 0
    for wanted in (7, 23):
        command = [sys.executable, "-c", _READER.replace("range(1,", f"range({confirmed + 1},"), str(Path(store.root)), database]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                confirmed = int(line)
                if confirmed >= wanted:
                    process.kill()
        again = stores.open(store.root, database)
        kept = labels.current(again)
        assert [kept[case, "classes"].value for case in range(1, confirmed + 1)] == [f"value {n}" for n in range(1, confirmed + 1)]
        assert len(kept) - confirmed in (0, 1)  # committed, and killed before it could say so
        assert {number for number, _ in kept} == {row.id for row in studies.many(again, range(61)) if row.state == "done"}
        assert audit.verify(again) == []
        again.close()
        confirmed = len(kept)
