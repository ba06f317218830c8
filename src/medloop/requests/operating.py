"""Requests and results of those who keep the system going: worker, server, audit trail, backup, deletion."""

from __future__ import annotations

from dataclasses import dataclass

from medloop.requests._sources import StoreRequest, in_range


@dataclass(frozen=True, kw_only=True)
class DoctorRequest:
    """What is installed, what works, what is wrong."""


@dataclass(frozen=True, kw_only=True)
class DoctorResult:
    """``checks``: ``what``, ``state`` (ok, warning, wrong, missing), ``says``, ``fix``."""

    healthy: bool
    checks: list[dict[str, str]]
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class WorkerRequest(StoreRequest):
    """Do the jobs that wait, one at a time, until stopped."""

    queue: str | None = None
    """Redis that tells of jobs (redis://host:6379/0; default: MEDLOOP_QUEUE, or a file in the workspace)."""
    once: bool = False
    """End when no job waits."""


@dataclass(frozen=True, kw_only=True)
class WorkerResult:
    """What was done until it was stopped."""

    done: int
    failed: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ServeRequest(StoreRequest):
    """Serve the web pages and the API, and do the jobs."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 is every one of this machine."""
    port: int = 8765
    """The port to listen on; 0 takes a free one."""
    prefix: str = ""
    """The path below which a reverse proxy offers the server, such as /medloop."""
    queue: str | None = None
    """Redis that tells of jobs (redis://host:6379/0; default: MEDLOOP_QUEUE, or a file in the workspace)."""
    workers: int = 1
    """Worker processes, each with one job at a time; 0 where medloop worker runs by itself."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        in_range("workers", self.workers, (0, 64))
        in_range("port", self.port, (0, 65535))


@dataclass(frozen=True, kw_only=True)
class ServeResult:
    """Where it listened, until it was stopped."""

    url: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AuditRequest(StoreRequest):
    """Say whether the audit trail is whole."""

    do: str = "verify"
    """What to do with the trail: verify."""
    head: str | None = None
    """An entry that was noted elsewhere, as NUMBER:HASH; the trail must contain it."""


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """A trail that is whole; ``head`` is worth noting where nobody who can write the database can write."""

    entries: int
    head: str


@dataclass(frozen=True, kw_only=True)
class BackupRequest(StoreRequest):
    """Write database, images and models into a folder, while the server goes on."""

    out: str
    """The folder to write; it must be new."""


@dataclass(frozen=True, kw_only=True)
class RestoreRequest(StoreRequest):
    """Bring a backup back into a workspace that has no records yet."""

    src: str
    """A folder that medloop backup wrote."""


@dataclass(frozen=True, kw_only=True)
class BackupResult:
    """``out``: the backup that was written, or the workspace that it was brought back to. ``head``: its trail's last entry."""

    out: str
    studies: int
    blobs: int
    models: int
    bytes: int
    head: str


@dataclass(frozen=True, kw_only=True)
class ForgetRequest(StoreRequest):
    """Delete one patient for good, or the images that are kept long enough."""

    patient: str | None = None
    """The patient's identifier, exactly as it came with the images."""
    reason: str = ""
    """Why, in words without identity; it stays in the audit trail."""
    expired: bool = False
    """Instead of a patient: delete the images of studies that were done longer ago than the setting keep_days."""
    actor: str = "operator"
    """Who asks for it, as the audit trail will say."""


@dataclass(frozen=True, kw_only=True)
class ForgetResult:
    """What was deleted; ``models``: versions that may have learnt from it and still exist."""

    studies: int
    blobs: int
    models: list[str]
