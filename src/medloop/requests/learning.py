"""Requests and results of learning: what is in the data, models made, judged and used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from medloop.errors import InputError
from medloop.requests._sources import SEEDS, WORKERS, SourceRequest, in_range
from medloop.types import Json, Metric


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
        in_range("workers", self.workers, WORKERS)


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
    anomaly: str | None = None
    """Folder of the anomaly maps, as that of the masks. None: the model has not learnt reconstruction."""
    boxes: str | None = None
    """COCO JSON of the boxes found, or of those around the parts of masks."""
    measures: str | None = None
    """CSV of the measures, one row a case, and the rules that the case breaks."""
    parts: str | None = None
    """CSV of the parts of masks, each lesion apart, and of places that nearly are parts."""
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
        in_range("seed", self.seed, SEEDS)


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
        in_range("seeds", self.seeds, (1, 100))
        in_range("start", self.start, (2, 1_000_000))
        in_range("batch", self.batch, (1, 1_000_000))
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
