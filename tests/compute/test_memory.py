import mmap
from pathlib import Path

from medloop.compute.memory import PeakMemory


def test_private_pages_count_and_file_pages_do_not(tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(bytes(80_000_000))
    with PeakMemory() as memory:
        before = memory.peak_mb
        with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert sum(mapped[i] for i in range(0, len(mapped), 4096)) == 0
            assert memory.peak_mb - before < 20
        block = bytearray(b"x") * 100_000_000
        assert memory.peak_mb - before > 90
        del block
        assert memory.peak_mb - before > 90
