"""Every request and result class, in one light module that imports nothing heavy.

A verb is ``verb(workspace, request, tell=QUIET) -> result``. The same request class is read from command-line flags and from JSON
(`medloop.wire`), and the result is what ``--json`` prints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from medloop.errors import InputError
from medloop.types import Json, Metric

SEEDS = (0, 2**32 - 1)
WORKERS = (0, 1024)
"""Lowest and highest number of processes; 0 means to work in this one."""


def _in_range(flag: str, value: int | None, limits: tuple[int, int]) -> None:
    low, high = limits
    if value is not None and not low <= value <= high:
        raise InputError(
            f"bad-{flag}",
            got=f"--{flag} {value}.",
            allowed=f"A whole number from {low} to {high}.",
            fix=f"Write another number, or leave --{flag} out.",
        )


@dataclass(frozen=True, kw_only=True)
class SourceRequest:
    """What images and labels to read, and how."""

    src: str
    """A folder, a file, or an .npz in MedMNIST layout."""
    labels: str | None = None
    """A table (CSV, TSV, XLSX), COCO JSON, folder of VOC files, dataset.json; several with commas. Left out: what is found."""
    images: str | None = None
    """Which files are images, as a glob such as '*.bmp', where others lie beside them."""
    masks: str | None = None
    """Which files are masks of the images, as a glob such as '*.png' or 'masks/*.nii.gz'; matched to images by name or folder."""
    mask_classes: str | None = None
    """What the masks' values mean: 128=cytoplasm,255=nucleus; #ff0000=tumour; a table of value and name (default: each its own)."""
    channels: str | None = None
    """Which files of a case are its channels, in order, as name=glob: flair='*FLAIR*',t1='*T1_*' (default: each file is a case)."""
    case_by: str | None = None
    """What the files of one case share: parent (their folder, the default), or an expression with a group such as '(sub-\\d+)_'."""
    id_column: str | None = None
    """The table's column that names the image (recognised if left out)."""
    label_columns: str | None = None
    """The table's label columns, separated by commas (recognised if left out)."""
    group: str | None = None
    """The table's column of what must stay together: patient, lesion or study (recognised if left out)."""
    split_lists: str | None = None
    """Text files that list the cases of each split, separated by commas; their names say which (train.txt,val.txt,test.txt)."""
    seed: int = 0
    """Seed of everything random."""
    workers: int | None = None
    """Processes for heavy work (default: one a core)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        _in_range("seed", self.seed, SEEDS)
        _in_range("workers", self.workers, WORKERS)


@dataclass(frozen=True, kw_only=True)
class InspectRequest(SourceRequest):
    """What is in this data, and what is wrong with it."""

    out: str | None = None
    """Where to write the report (default: in the workspace)."""


@dataclass(frozen=True, kw_only=True)
class InspectResult:
    """The intake report as data."""

    source: str
    files: int
    used: int
    rejected: list[dict[str, str]]
    """``path`` and ``reason`` of every file that is not used."""
    cases: int
    patients: int | None
    classes: dict[str, int]
    target: str
    layout: str
    """How the labels were read, in a sentence."""
    columns: list[dict[str, str]]
    """``column``, ``read_as`` and ``because`` of every column of the table."""
    further: list[dict[str, Json]]
    """Masks, boxes and measures: ``target``, ``class``, ``cases`` that have it, ``count`` in all, ``of`` what (boxes, voxels)."""
    label_problems: list[dict[str, Json]]
    """Rows without image, images without row, ambiguous names, unusable masks and boxes: ``row``, ``name``, ``problem``."""
    series: list[dict[str, Json]]
    duplicates: list[list[str]]
    """Groups of cases with the same picture (exact or near)."""
    leaks: list[dict[str, Json]]
    """``a``, ``b``, ``kind`` (patient, exact, near), ``splits``."""
    conflicts: list[dict[str, Json]]
    """The same picture under different labels."""
    shortcuts: list[dict[str, Json]]
    """Labels that follow from something other than the picture: ``from``, ``auc`` or ``accuracy``, ``says``."""
    burnt_in_text: list[str]
    sizes: dict[str, int]
    spacings: dict[str, int]
    modalities: dict[str, int]
    split: dict[str, int]
    warnings: list[str]
    seconds: float
    report: str | None


@dataclass(frozen=True, kw_only=True)
class LearnRequest(SourceRequest):
    """Learn a model from labelled images and judge it honestly."""

    targets: str = "classes"
    """What to learn, with commas: classes, masks, boxes, measures; helpers that need no labels: reconstruction, similarity."""
    recipe: str | None = None
    """A recipe's name (classical, transfer, ...) or a TOML file (default: ladder, which tries several and picks
    one; for masks, boxes and measures multitask)."""
    rules: str | None = None
    """A TOML file of rules that answers must obey (multitask): what breaks one is marked, never dropped."""
    from_: str | None = None
    """Start from this model's network: a model's or run's folder, a run's name in the workspace, or a file of weights."""
    device: str = "auto"
    """Where networks are trained: auto, cpu, cuda."""
    budget: str = "10m"
    """Wall time for the whole command: 90, 90s, 10m, 1h30m."""
    folds: int | None = None
    """Judge by cross-validation with this many folds instead of a held-out test split."""
    label_fraction: float = 1.0
    """Learn from this part of the training and validation patients (by the seed); beside masks or boxes: of the class labels."""
    accept_leak: str = ""
    """Kinds of leak into the test split to go on with (patient, exact, near), separated by commas. The report will say so."""
    dry_run: bool = False
    """Say what would be done and how long it would take, and do nothing."""
    out: str | None = None
    """Folder of the run (default: in the workspace)."""


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """The dataset as results state it."""

    fingerprint: str
    cases: int
    patients: int | None
    split: dict[str, int]
    classes: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """Classes left out, and why."""


@dataclass(frozen=True, kw_only=True)
class LearnResult:
    """What was learnt, on whom, and how well."""

    run: str
    model: str
    family: str
    recipe: str
    dataset: DatasetSummary
    protocol: str
    """``held-out`` or ``out-of-fold``."""
    test: dict[str, Metric]
    ladder: list[dict[str, Json]]
    looks: int | None
    seconds: float
    peak_private_mb: float
    report: str
    warnings: list[str] = field(default_factory=list)
    accepted_leaks: list[str] = field(default_factory=list)
    subgroups: list[dict[str, Json]] = field(default_factory=list)
    shift: dict[str, Json] | None = None
    """How the test pictures differ from those learnt from: ``alarm``, ``auc`` of telling them apart, ``p``, ``facts``, ``rows``."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds by stage: scan, survey (read and prepare), features, search, fit, evaluate, report."""


@dataclass(frozen=True, kw_only=True)
class DryRunResult:
    """What `learn` would do."""

    dataset: DatasetSummary
    family: str
    recipe: str
    preparation: list[dict[str, Json]]
    steps: list[dict[str, Json]]
    """``step`` and ``seconds`` expected."""
    seconds: float
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest(SourceRequest):
    """Judge a saved model on other labelled data."""

    model: str
    """A model's folder, a run's folder, or a run's name in the workspace."""
    out: str | None = None
    """Folder of the evaluation (default: in the workspace)."""


@dataclass(frozen=True, kw_only=True)
class EvaluateResult:
    """The figures of a saved model on other data."""

    model: str
    dataset: DatasetSummary
    test: dict[str, Metric]
    looks: int | None
    seconds: float
    report: str
    warnings: list[str] = field(default_factory=list)
    subgroups: list[dict[str, Json]] = field(default_factory=list)
    shift: dict[str, Json] | None = None
    """As in `LearnResult`."""


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """Calibrated answers of a saved model for new images."""

    model: str
    """A model's folder, a run's folder, or a run's name in the workspace."""
    src: str
    """A folder, a file, or an .npz."""
    images: str | None = None
    """Which files are images, as a glob."""
    channels: str | None = None
    """Which files of a case are its channels, as name=glob (default: as the model learnt)."""
    case_by: str | None = None
    """What the files of one case share: parent, or an expression with a group (default: as the model learnt)."""
    out: str | None = None
    """CSV to write (default: predictions.csv in the current folder)."""
    explain: bool = False
    """Write a sheet beside the CSV that shows where the model looked (60 cases at most, the least sure)."""
    workers: int | None = None
    """Processes for heavy work (default: one a core)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for a number that makes no sense."""
        _in_range("workers", self.workers, WORKERS)


@dataclass(frozen=True, kw_only=True)
class PredictResult:
    """Where the predictions are, and what they say in sum."""

    out: str
    cases: int
    abstained: int
    labels: dict[str, int]
    rejected: list[dict[str, str]]
    warnings: list[str]
    seconds: float
    explained: str | None = None
    """The sheet of explanations, where it was asked for."""
    masks: str | None = None
    """Folder of the masks: PNG of pictures, NIfTI of volumes; ``files.csv`` says which is whose. None: the model finds none."""
    mask_values: dict[str, int] = field(default_factory=dict)
    """What each class is written as in the masks."""
    boxes: str | None = None
    """COCO JSON of the boxes found, or of those around the parts of masks."""
    measures: str | None = None
    """CSV of the measures, one row a case, and the rules that the case breaks."""
    violations: int = 0
    """Cases that break a rule."""


@dataclass(frozen=True, kw_only=True)
class CompareRequest:
    """Two runs side by side, paired by case."""

    a: str
    """A run's folder or name."""
    b: str
    """Another run's folder or name."""


@dataclass(frozen=True, kw_only=True)
class CompareResult:
    """``rows``: ``metric``, ``a``, ``b``, ``difference`` with ``low`` and ``high``, ``p`` where a test fits, ``says`` in words."""

    a: str
    b: str
    cases: int
    rows: list[dict[str, Json]]
    says: str


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """Write what a run knows as files others can read."""

    run: str
    """A run's folder or name."""
    as_: str = "csv"
    """The format: csv (split.csv and predictions.csv with out-of-fold and test predictions)."""
    out: str = "."
    """Folder to write into."""


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """The files written."""

    files: list[str]


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """Write a sample collection."""

    name: str
    """Which one: phantom-ct."""
    out: str
    """Folder to write into; it must be new or empty."""
    seed: int = 0
    """Seed of everything random."""
    patients: int | None = None
    """How many patients (default: the collection's own)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for a number that makes no sense."""
        _in_range("seed", self.seed, SEEDS)


@dataclass(frozen=True, kw_only=True)
class SampleResult:
    """What was written."""

    folder: str
    images: str
    """Folder of the images alone: what to inspect and to learn from."""
    files: int
    patients: int
    studies: int
    labels: str
    mapping: str | None
    """A mapping of its classes to standards, where there are codes for them."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class DemoRequest:
    """Write a sample collection, inspect it, learn from it, evaluate, predict, outline, and say where the report is."""

    quick: bool = False
    """A smaller collection, a shorter search, and no outlines."""


@dataclass(frozen=True, kw_only=True)
class OutlinesResult:
    """Tumours outlined by the demo.

    ``rows``: of each new study ``case``, ``class``, ``confidence``, the longest diameter of its largest tumour ``found_mm`` and
    ``true_mm`` (None: none), ``rules`` that it breaks. ``mistaken``: what the rules catch if a file gave the size of its voxels in
    cm where mm are meant, None where nothing was found.
    """

    learn: LearnResult
    predict: PredictResult
    rows: list[dict[str, Any]]
    mean_error_mm: float | None
    mistaken: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """The results of each step of the demo. ``outlines``: None where it was quick."""

    sample: SampleResult
    inspect: InspectResult
    learn: LearnResult
    evaluate: EvaluateResult
    predict: PredictResult
    outlines: OutlinesResult | None
    seconds: float
    report: str


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
class SimulateRequest(SourceRequest):
    """Replay the loop on labelled data: how many labels does asking for the right ones save?"""

    seeds: int = 5
    """How often it is replayed; where no split is given, each time with another."""
    reading_seconds: float = 60.0
    """How long a person takes to label one case."""
    start: int | None = None
    """How many labels to begin with (default: 20, fewer where there are few cases)."""
    batch: int | None = None
    """How many labels are asked for at once, at least (default: 10, fewer where there are few cases)."""
    accept_leak: str = ""
    """Kinds of leak into the test split to go on with (patient, exact, near), separated by commas."""
    out: str | None = None
    """Folder of the report (default: in the workspace)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        SourceRequest.__post_init__(self)
        _in_range("seeds", self.seeds, (1, 100))
        _in_range("start", self.start, (2, 1_000_000))
        _in_range("batch", self.batch, (1, 1_000_000))
        if not 0 < self.reading_seconds <= 86_400:
            raise InputError(
                "bad-reading-seconds",
                got=f"--reading-seconds {self.reading_seconds:g}.",
                allowed="More than 0, at most 86400.",
                fix="Write --reading-seconds 60.",
            )


@dataclass(frozen=True, kw_only=True)
class SimulateResult:
    """What asking for labels saves, beside labels taken at random."""

    dataset: DatasetSummary
    labels: int
    """Training labels there are (mean over seeds)."""
    full_auc: float
    """AUC on the test split after learning from all of them."""
    goal: float
    """The part of it that is to be reached."""
    labels_needed: float
    """Share of the training labels that reaches it, asked for; mean over seeds."""
    labels_needed_random: float
    """The same, taken at random."""
    hours: dict[str, float]
    """Hours of reading: ``all`` labels, those ``asked`` for, those needed at ``random``, and what asking has ``saved``."""
    reading_seconds: float
    curve: list[dict[str, float]]
    """``labels``, ``share``, ``asked`` and ``random`` (mean AUC), both with ``_low`` and ``_high`` over seeds; last: all labels."""
    seeds: list[dict[str, Json]]
    """``seed``, ``full_auc``, ``labels_needed``, ``labels_needed_random`` of each."""
    warnings: list[str]
    seconds: float
    report: str


@dataclass(frozen=True, kw_only=True)
class StoreRequest:
    """Where the records of the loop are kept."""

    database: str | None = None
    """The database (postgresql+psycopg://…; default: MEDLOOP_DATABASE, or loop.sqlite in the workspace)."""
    blobs: str | None = None
    """Where images are kept: a folder or an fsspec URL (default: MEDLOOP_BLOBS, or blobs in the workspace)."""


@dataclass(frozen=True, kw_only=True)
class IngestRequest(SourceRequest, StoreRequest):
    """Take images, and the labels they come with, into the store. Taking the same again changes nothing."""

    watch: bool = False
    """Go on watching the folder until stopped; a study is taken once its files have been still for a while."""
    quiet: float | None = None
    """With --watch: seconds without a new file after which a study is complete (default: the setting quiet_s)."""
    every: float = 5.0
    """With --watch: seconds between two looks at the folder."""
    urgency: int = 0
    """How urgent these studies are; higher is read sooner."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        SourceRequest.__post_init__(self)
        for flag, value in (("quiet", self.quiet), ("every", self.every)):
            if value is not None and not 0 <= value <= 86_400:
                raise InputError(
                    f"bad-{flag}",
                    got=f"--{flag} {value}.",
                    allowed="Seconds from 0 to 86400.",
                    fix=f"Write another number, or leave --{flag} out.",
                )
        _in_range("urgency", self.urgency, (0, 1000))


@dataclass(frozen=True, kw_only=True)
class IngestResult:
    """What was taken into the store, and what was not and why."""

    source: str
    batch: str
    """The name under which these studies arrived together."""
    files: int
    cases: int
    """Cases found in the source that can be used."""
    fresh: list[int]
    """Numbers of the studies that are new in the store."""
    known: int
    """Cases that the store has already."""
    replaced: int
    """Studies nobody had read, which a more complete one replaced."""
    waiting: int
    """Studies that wait until no more files arrive."""
    labels: int
    """Labels kept with provenance imported."""
    rejected: list[dict[str, str]]
    """``path`` and ``reason`` of every file that is not used."""
    warnings: list[str]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ProposeRequest(StoreRequest):
    """Let the champion propose a label for every study that waits, and say which proposals may stand without a person."""

    model: str | None = None
    """A model of the store by name or number, or a run's or model's folder (default: the champion)."""
    again: bool = False
    """Propose also for studies for which this model has proposed before."""
    limit: int | None = None
    """At most so many studies."""
    mapping: str | None = None
    """A TOML file from classes to codes of SNOMED CT, ICD-10, RadLex or BI-RADS (default: the setting 'mapping')."""
    workers: int | None = None
    """Processes for heavy work (default: one a core)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        _in_range("workers", self.workers, WORKERS)
        _in_range("limit", self.limit, (1, 10_000_000))


@dataclass(frozen=True, kw_only=True)
class ProposeResult:
    """What was proposed, and what is promised of it."""

    model: str
    cases: int
    """Studies that have a proposal now."""
    accept: int
    """Proposals that may be pre-filled, at the promised rate of errors."""
    person: int
    """Proposals that need a person."""
    unlike: int
    """Studies too unlike what the model learnt from to say anything."""
    promise: dict[str, Json]
    """``rate``, ``confidence``, ``threshold`` (null: no promise), ``share``, ``bound``, ``why``."""
    shift: dict[str, Json] | None
    """How the new studies differ from those learnt from: as in `LearnResult`; null where too few came to tell."""
    labels: dict[str, int]
    warnings: list[str]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RetrainRequest(StoreRequest):
    """Learn a challenger from the confirmed labels of the store, starting from the champion."""

    targets: str | None = None
    """What is learnt: classes, masks, boxes, with commas between (default: as the champion; without one, classes)."""
    recipe: str | None = None
    """A recipe's name or a TOML file (default: ladder; multitask where masks or boxes are learnt)."""
    budget: str = "10m"
    """Wall time for the whole job: 90, 90s, 10m, 1h30m."""
    anew: bool = False
    """Begin from nothing, not from the champion's network."""
    upto: int | None = None
    """Learn from the labels up to this number only (default: from all there are)."""
    device: str = "auto"
    """Where networks are trained: auto, cpu, cuda."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        """Raises `InputError` for a number that makes no sense."""
        _in_range("seed", self.seed, SEEDS)


@dataclass(frozen=True, kw_only=True)
class RetrainResult:
    """The challenger, and what it learnt from."""

    challenger: int
    """Its number among the models."""
    name: str
    parent: int | None
    """The champion whose network it started from; None: it began anew."""
    labels: dict[str, int]
    """Labels learnt from, by provenance."""
    left_out: dict[str, int]
    """Labels that are not learnt from, by reason: frozen, ai-only, unsettled, unreadable value; cases: copy of a frozen case."""
    learn: LearnResult


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
        _in_range("workers", self.workers, (0, 64))
        _in_range("port", self.port, (0, 65535))


@dataclass(frozen=True, kw_only=True)
class ServeResult:
    """Where it listened, until it was stopped."""

    url: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class PromoteRequest(StoreRequest):
    """Judge a challenger beside the champion on the frozen test cases, and promote it if the gate lets it through."""

    challenger: str = ""
    """The number or name of a model (default: the newest challenger)."""
    force: bool = False
    """Promote it whatever the gate says; needs --reason, and is recorded."""
    reason: str = ""
    """Why, in words."""
    by: str = "command line"
    """Who decides."""
    out: str | None = None
    """Where to write the page that compares both models (default: not written)."""
    auto: bool = False
    """Promote only where the settings let that be done without a person; the verdict is the answer, whatever it is."""
    renew: bool = False
    """First draw a new frozen test set among patients nobody has read yet; the old one may be learnt from then."""
    workers: int | None = None
    """Processes for heavy work (default: one a core)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for a number that makes no sense."""
        _in_range("workers", self.workers, WORKERS)


@dataclass(frozen=True, kw_only=True)
class PromoteResult:
    """What the gate said, and what was done."""

    decision: str
    """``promoted``, ``refused`` or ``needs-person``."""
    forced: bool
    challenger: int
    name: str
    champion: str | None
    """The champion before."""
    reasons: list[str]
    gain: dict[str, Json] | None
    """``metric``, ``champion``, ``challenger``, ``difference``, ``low`` (the bound) over all cases."""
    groups: list[dict[str, Json]]
    """The same of every class and subgroup that can veto, with ``margin`` and ``worse``."""
    look: int | None
    """Which look at this test set it was; None: it was not looked at."""
    looks_allowed: int
    cases: int
    patients: int
    left_out: dict[str, int]
    """Frozen cases that do not count, by reason."""
    page: str | None
    """The page that compares both models, where it was asked for."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RollbackRequest(StoreRequest):
    """Make the former champion champion again, exactly as it was."""

    to: str = ""
    """The number or name of a model that was champion before (default: the last one)."""
    reason: str = ""
    """Why, in words."""
    by: str = "command line"
    """Who decides."""


@dataclass(frozen=True, kw_only=True)
class RollbackResult:
    """Who is champion again, instead of whom."""

    champion: int
    name: str
    instead_of: str


@dataclass(frozen=True, kw_only=True)
class ModelsRequest(StoreRequest):
    """Every model version with its state and figures, and what more labels would bring."""


@dataclass(frozen=True, kw_only=True)
class ModelsResult:
    """The models, newest first, and the curve of their figures against the labels they learnt from."""

    champion: str | None
    models: list[dict[str, Json]]
    """``id``, ``name``, ``state``, ``family``, ``created``, ``labels``, ``parent``, ``figure`` (metric) and ``judged`` on what,
    ``decision`` and ``reason`` of the last decision, ``card`` (path)."""
    metric: str
    curve: list[dict[str, Json]]
    """``labels``, ``figure``, ``low``, ``high``, ``model``."""
    forecast: dict[str, Json] | None
    """``labels``, ``figure``, ``low``, ``high``, ``best``; None where too few models tell."""
    labels: int
    """Labels that could be learnt from now."""
    looks: int
    looks_allowed: int
    says: str


@dataclass(frozen=True, kw_only=True)
class MonitorRequest(StoreRequest):
    """Has anything drifted: the images, the proposals, the agreement with readers, by site and scanner?"""

    days: int = 30
    """How many days back from now are compared with the time before."""
    out: str | None = None
    """Where to write a page of it (default: not written)."""
    workers: int | None = None
    """Processes for heavy work (default: one a core)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        _in_range("days", self.days, (1, 3650))
        _in_range("workers", self.workers, WORKERS)


@dataclass(frozen=True, kw_only=True)
class MonitorResult:
    """``alarms``: what changed, each with ``what`` (images, proposals, agreement), ``where``, ``p`` (after Holm), ``says``."""

    alarms: list[dict[str, Json]]
    checks: list[dict[str, Json]]
    """What was compared: ``what``, ``where``, cases ``before``, ``here``, ``effect``, ``p``, ``p_holm``, ``alarm``, ``says``."""
    series: list[dict[str, Json]]
    """The course by weeks: ``week``, ``where``, ``cases``, ``confidence``, ``unlike``, ``agreement``, ``labels``."""
    days: int
    page: str | None
    says: str


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def seconds_of(budget: str) -> float:
    """Seconds of a wall time such as ``90``, ``90s``, ``10m``, ``1h30m``. Raises `InputError` for anything else."""
    text = budget.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text) and float(text) > 0:
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not parts or "".join(number + unit for number, unit in parts) != text or total <= 0:
        raise InputError(
            "bad-budget", got=f"'{budget}' is not a length of time.", allowed="90, 90s, 10m, 1h30m.", fix="Write --budget 10m."
        )
    return total


def listed(text: str | None) -> tuple[str, ...]:
    """The parts of a comma-separated flag, without blanks."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


@dataclass(frozen=True, kw_only=True)
class ReviewRequest(StoreRequest):
    """Say what a case shows; without an action: show what is proposed of it and what was said."""

    case: int
    """The number of the case, as medloop queue shows it."""
    action: str = ""
    """accept (what is proposed, or --value), correct, reject, unsure, undo (one's own review)."""
    value: str | None = None
    """The class, classes of several joined by |, or the number."""
    reason: str = ""
    """Why, in words: needed to reject and where one is unsure."""
    by: str = "command line"
    """Who says so."""


@dataclass(frozen=True, kw_only=True)
class ReviewResult:
    """A case as it stands."""

    case: int
    name: str
    state: str
    review: int | None
    """The number of the review that was committed."""
    proposal: dict[str, Json] | None
    """What is proposed; None where nothing is, or where the case is read blind and this reader has not said what it shows."""
    label: dict[str, Json] | None
    """The label that counts; None where there is none, or where this reader must not know it yet."""
    reviews: list[dict[str, Json]]
    """Reviews that stand, oldest first; none of them for the second of two readers, who has not read the case yet."""


@dataclass(frozen=True, kw_only=True)
class QueueRequest(StoreRequest):
    """What is read next: arrange the worklist by what the model would learn, and show its beginning."""

    order: str | None = None
    """useful (what the model would learn most from), urgency, arrival or newest (default: the setting order)."""
    limit: int = 20
    """How many cases to show."""
    after: str | None = None
    """Show those that follow: what the page before printed."""
    reader: str | None = None
    """Leave out what this reader has read already."""
    adjudicate: bool = False
    """Show what readers did not agree on."""
    only_list: bool = False
    """Show the list as it is, without arranging it anew."""
    seed: int = 0
    """Seed of everything random."""
    workers: int | None = None
    """Processes for heavy work (default: one a core)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        _in_range("limit", self.limit, (1, 1000))
        _in_range("seed", self.seed, SEEDS)
        _in_range("workers", self.workers, WORKERS)


@dataclass(frozen=True, kw_only=True)
class QueueResult:
    """The beginning of the worklist."""

    order: str
    arranged: int
    """How many studies were given a place by what the model would learn from them."""
    cases: list[dict[str, Json]]
    """``case_id``, ``state``, ``urgency``, ``priority``, ``blind``, ``arrived``, ``modality``, ``site``, ``label``, ``confidence``,
    ``decision`` (null where nothing is proposed or the case is read blind), ``why`` it is here."""
    after: str | None
    """What to give to --after for those that follow; null: there are no more."""
    waiting: dict[str, int]
    """How many studies wait, by state."""


@dataclass(frozen=True, kw_only=True)
class RecheckRequest(StoreRequest):
    """Find labels that are probably wrong, and send them back for a second look with the reason."""

    most: int = 50
    """At most so many second looks are asked for, the most suspicious first."""
    dry_run: bool = False
    """Say what is suspicious, and ask for nothing."""
    seed: int = 0
    """Seed of everything random."""
    workers: int | None = None
    """Processes for heavy work (default: one a core)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        _in_range("most", self.most, (1, 100_000))
        _in_range("seed", self.seed, SEEDS)
        _in_range("workers", self.workers, WORKERS)


@dataclass(frozen=True, kw_only=True)
class RecheckResult:
    """The labels that a second person should look at."""

    labels: int
    """Confirmed labels that were looked at."""
    suspected: int
    asked: int
    """Second looks that were asked for."""
    cases: list[dict[str, Json]]
    """``case_id``, ``label``, ``likely``, ``probability`` of the label, ``author``, ``why``; the most suspicious first."""
    by_class: dict[str, int]
    """Suspected labels of each class."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AgreementRequest(StoreRequest):
    """How far readers agree with each other, and with the model where its proposal is hidden and where it is shown."""


@dataclass(frozen=True, kw_only=True)
class AgreementResult:
    """Kappa with 95 % intervals (``kappa``, ``low``, ``high``, ``reason`` where there is none) of so many ``cases``."""

    readers: list[dict[str, Json]]
    """Every two readers ``a`` and ``b``: Cohen's kappa, and the share ``agreed``."""
    all: dict[str, Json]
    """All readers of cases that more than one read: Fleiss' kappa."""
    drawn: list[dict[str, Json]]
    """Every two readers who drew in the same cases, by ``target``: ``figure`` (``dice`` of outlines, ``iou`` of boxes), ``cases``,
    ``value`` with ``low``, ``high`` and ``reason``, and the same of each of its ``classes``."""
    shown: dict[str, Json]
    """Readers and model where the proposal was shown."""
    blind: dict[str, Json]
    """Readers and model where it was hidden until the reader had committed."""
    follows: bool | None
    """Whether readers agree with the model clearly more where they see its proposal; None where too few cases tell."""
    says: str
    """Whether readers follow what they are shown, in words."""


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


VERBS: dict[str, tuple[str, type[Any]]] = {
    "demo": ("Show the whole path on a sample collection", DemoRequest),
    "sample": ("Write a sample collection", SampleRequest),
    "inspect": ("Say what is in this data, and what is wrong with it", InspectRequest),
    "learn": ("Learn a model and judge it honestly", LearnRequest),
    "evaluate": ("Judge a saved model on other data", EvaluateRequest),
    "compare": ("Compare two runs, case by case", CompareRequest),
    "predict": ("Propose labels for new images", PredictRequest),
    "simulate": ("Say what asking for the right labels saves", SimulateRequest),
    "export": ("Write a run's split and predictions as CSV", ExportRequest),
    "promote": ("Judge a challenger and promote it if it may be", PromoteRequest),
    "rollback": ("Make the former champion champion again", RollbackRequest),
    "models": ("List the model versions and what more labels would bring", ModelsRequest),
    "monitor": ("Say what has drifted, and where", MonitorRequest),
    "retrain": ("Learn a challenger from the confirmed labels", RetrainRequest),
    "worker": ("Do the jobs that wait", WorkerRequest),
    "serve": ("Serve the web pages, the API and the worker", ServeRequest),
    "ingest": ("Take images and their labels into the store", IngestRequest),
    "propose": ("Propose a label for every study that waits", ProposeRequest),
    "review": ("Say what a case shows, or see what was said", ReviewRequest),
    "queue": ("Say what is read next, and why", QueueRequest),
    "recheck": ("Send labels that are probably wrong back for a second look", RecheckRequest),
    "agreement": ("Say how far readers agree, with and without the model", AgreementRequest),
    "audit": ("Say whether the audit trail is whole", AuditRequest),
    "backup": ("Write database, images and models into a folder", BackupRequest),
    "restore": ("Bring a backup back", RestoreRequest),
    "forget": ("Delete one patient, or images kept long enough", ForgetRequest),
    "doctor": ("Say what is installed, what works, what is wrong", DoctorRequest),
}
"""Every verb with its one line of help and its request. The module ``medloop.loop.<verb>`` holds the function of that name."""
