import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from medloop.compute import Compute, Died, local


def square(number: int) -> int:
    return number * number


def lethal(number: int) -> int:
    if number == 7:
        os.kill(os.getpid(), 9)
    return number


def failing(number: int) -> int:
    if number == 5:
        raise ValueError("five")
    return number


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("chunk", [1, 7])
def test_answers_come_in_order(workers: int, chunk: int) -> None:
    with Compute(workers) as compute:
        assert list(compute.map(square, range(50), chunk=chunk)) == [number * number for number in range(50)]


def test_one_job_that_kills_its_worker_costs_one_job() -> None:
    with Compute(2) as compute:
        answers = list(compute.map(lethal, range(20), chunk=3))
        assert [isinstance(answer, Died) for answer in answers] == [number == 7 for number in range(20)]
        assert list(compute.map(square, range(10))) == [number * number for number in range(10)]


def test_errors_come_home() -> None:
    with Compute(2) as compute, pytest.raises(ValueError, match="five"):
        list(compute.map(failing, range(20)))


def test_jobs_may_be_endless() -> None:
    def endless():
        number = 0
        while True:
            yield number
            number += 1

    with Compute(2) as compute:
        answers = compute.map(square, endless(), chunk=4)
        assert [next(answers) for _ in range(40)] == [number * number for number in range(40)]


def test_a_plain_script_needs_no_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import math\nfrom medloop.compute import Compute\nprint(sum(Compute(2).map(math.sqrt, [1, 4, 9, 16, 25])))\n"
    )
    said = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert said.stdout == "15.0\n"


def test_a_worker_replaced_because_its_memory_grew_is_no_news(tmp_path: Path) -> None:
    (tmp_path / "grower.py").write_text(
        "import time\nimport numpy as np\nkept = []\n"
        "def grow(number):\n    kept.append(np.ones(60_000_000))\n    time.sleep(0.6)\n    return number\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        "from grower import grow\nfrom medloop.compute import Compute\n"
        "with Compute(2) as compute:\n    print(list(compute.map(grow, range(10))))\n"
    )
    said = subprocess.run([sys.executable, "-W", "default", str(script)], capture_output=True, text=True, check=True)
    assert said.stdout == f"{list(range(10))}\n"
    assert said.stderr == ""


def test_only_what_loky_trips_over_while_its_workers_are_killed_is_overlooked(monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda failure: seen.append((failure.exc_type, failure.thread)))
    manager = object.__new__(local._ExecutorManagerThread)
    other = threading.Thread()
    with local._overlooked():
        for kind, thread in ((KeyError, manager), (KeyError, other), (OSError, manager)):
            threading.excepthook(threading.ExceptHookArgs((kind, kind(), None, thread)))
    threading.excepthook(threading.ExceptHookArgs((KeyError, KeyError(), None, manager)))
    assert seen == [(KeyError, other), (OSError, manager), (KeyError, manager)]
