"""Which case lies on whose desk, so that two readers who ask for the next one get two. Hints in memory; the store decides."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

HELD_S = 180.0
PASSED_S = 1800.0
_MOST = 20_000


@dataclass(slots=True)
class Desk:
    """Cases in the hands of readers, and cases that a reader passed over. What is older than a while counts no more."""

    clock: Callable[[], float] = time.monotonic
    _held: dict[int, tuple[str, float]] = field(default_factory=dict)
    _passed: dict[tuple[int, str], float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, case: int, reader: str) -> None:
        """The reader looks at the case; any other case goes back."""
        with self._lock:
            for each in [each for each, (who, _) in self._held.items() if who == reader]:
                del self._held[each]
            self._held[case] = (reader, self.clock())

    def claim(self, case: int, reader: str) -> bool:
        """Take the case if it is free; False where somebody was quicker."""
        with self._lock:
            who, since = self._held.get(case, (reader, 0.0))
            if who != reader and self.clock() - since <= HELD_S:
                return False
            for each in [each for each, (holder, _) in self._held.items() if holder == reader]:
                del self._held[each]
            self._held[case] = (reader, self.clock())
            return True

    def pass_over(self, case: int, reader: str) -> None:
        """The reader wants another one first."""
        with self._lock:
            if len(self._passed) > _MOST:
                self._passed.clear()
            self._passed[case, reader] = self.clock()

    def free(self, case: int, reader: str) -> bool:
        """Whether the case may be the reader's next one."""
        with self._lock:
            who, since = self._held.get(case, (reader, 0.0))
            passed = self._passed.get((case, reader))
            now = self.clock()
            return (who == reader or now - since > HELD_S) and (passed is None or now - passed > PASSED_S)
