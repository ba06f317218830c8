"""What is in this data, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from medloop import labels
from medloop.compute import Compute
from medloop.dataset import Findings, Options, counts, duplicate_groups, examine, rows, shortcuts
from medloop.errors import InputError
from medloop.labels import Labelled
from medloop.loop._clock import Clock
from medloop.loop._intake import Means, Seen, collect, labels_with, look
from medloop.loop._pictures import shower
from medloop.loop._runs import new_folder
from medloop.progress import QUIET, Progress
from medloop.readers import Collection
from medloop.reporting import inspect_page
from medloop.requests import InspectRequest, InspectResult
from medloop.types import Array, Dataset, ImageRef, Json, Rejected
from medloop.wire import to_json
from medloop.workspace import Workspace, ready_for, write_folder, write_json, write_text

_TEXT_LIKELY = 0.5


def inspect(workspace: Workspace, request: InspectRequest, tell: Progress = QUIET) -> InspectResult:
    """Look at every file and picture and report what is used, what is not and why, and what would mislead a learner.

    Nothing is refused for being wrong: it is reported. Raises `InputError` where there are no images, or for a wrong table.
    """
    clock = Clock()
    workspace.ready()
    folder = new_folder(workspace, request.out, "inspections", Path(request.src).stem or "data")
    ready_for(folder)
    with Compute(request.workers) as compute:
        means = Means(workspace=workspace, compute=compute, clock=clock, tell=tell)
        collection = collect(request, means)
        labelled, unread = _labels(collection, request, means)
        seen = look(collection.refs, None, means)
        labelled = None if labelled is None else _readable(labelled, seen)
    dataset, findings = None, Findings(duplicates=duplicate_groups(seen.survey.refs, seen.pairs))
    if labelled is not None:
        dataset, findings = examine(labelled, seen.survey, seen.pairs, Options(seed=request.seed))
    result = _result(request, collection, labelled, seen, dataset, findings, folder / "report.html", clock)
    if unread:
        result.warnings.insert(0, unread)
    with write_folder(folder) as beside:
        page = inspect_page(result, _by_name(seen.survey.refs), _classes(labelled) or {"all images": _names_of(seen)})
        write_text(beside / "report.html", page)
        write_json(beside / "result.json", to_json(result))
    return result


def _by_name(refs: Sequence[ImageRef]) -> Callable[[str], Array | None]:
    """A function from an image's name to its picture as it is shown, None for one that cannot be shown."""
    where = {ref.name: at for at, ref in enumerate(refs)}
    show = shower(refs)
    return lambda name: show(where[name]) if name in where else None


def _names_of(seen: Seen) -> list[str]:
    return [ref.name for ref in seen.survey.refs]


def _labels(collection: Collection, request: InspectRequest, means: Means) -> tuple[Labelled | None, str]:
    """The labels, or why there are none. What was named and cannot be read is an error."""
    try:
        return labels.find(collection, request, labels_with(means)), ""
    except InputError as error:
        if any(given is not None for given in (request.labels, request.label_columns, request.masks, request.mask_classes)):
            raise
        return None, f"{error.got} {error.fix}"


def _readable(labelled: Labelled, seen: Seen) -> Labelled:
    """Without the cases whose images cannot be used."""
    good = {ref.name for ref in seen.survey.refs}
    rows_ = [row for row, case in enumerate(labelled.cases) if case.images[0].name in good]
    return replace(labelled, cases=tuple(labelled.cases[row] for row in rows_), labels=tuple(labelled.labels[row] for row in rows_))


def _result(
    request: InspectRequest,
    collection: Collection,
    labelled: Labelled | None,
    seen: Seen,
    dataset: Dataset | None,
    findings: Findings,
    report: Path,
    clock: Clock,
) -> InspectResult:
    refs = seen.survey.refs
    rejected = [*_without_label_files(collection, labelled), *_files_of(seen.rejected, collection)]
    return InspectResult(
        source=Path(request.src).name,
        files=len(collection.files),
        used=len(set(collection.files) - {each.path for each in rejected}),
        rejected=[to_json(each) for each in rejected],
        cases=len(refs) if labelled is None else len(labelled.cases),
        patients=_patients(refs, dataset),
        classes=_class_counts(labelled, dataset),
        target="" if labelled is None else labelled.target.kind.value,
        layout="" if labelled is None else labelled.layout,
        columns=[] if labelled is None else labelled.columns,
        further=[] if labelled is None else labelled.found,
        label_problems=[] if labelled is None else labelled.problems,
        series=[to_json(each) for each in collection.series],
        duplicates=findings.duplicates,
        leaks=findings.leaks,
        conflicts=findings.conflicts,
        shortcuts=_shortcuts(dataset, seen, request.seed),
        burnt_in_text=_with_text(seen),
        sizes=_counted("×".join(map(str, ref.shape[2:] if ref.volume else ref.shape[3:])) for ref in refs),
        spacings=_counted("not known" if ref.spacing_mm is None else _spacing(ref.spacing_mm) for ref in refs),
        modalities=_counted(ref.modality or "not known" for ref in refs),
        split={} if dataset is None else _counted(map(str, dataset.split)),
        warnings=_warnings(collection, findings),
        seconds=round(clock.seconds, 2),
        report=str(report),
    )


def _without_label_files(collection: Collection, labelled: Labelled | None) -> list[Rejected]:
    """What was rejected as an image, without the files that labels were read from."""
    used = frozenset() if labelled is None else labelled.files
    return [each for each in collection.rejected if str(collection.root / each.path) not in used]


def _files_of(rejected: Sequence[Rejected], collection: Collection) -> list[Rejected]:
    """Images that cannot be used, under the names of their files; an item of a file that holds others keeps its own name."""
    refs = {ref.name: ref for ref in collection.refs}
    bad = {each.path for each in rejected}
    good_files = {file for ref in collection.refs if ref.name not in bad for file in ref.files}
    told = []
    for each in rejected:
        files = [file for file in refs[each.path].files if file not in good_files]
        told += [Rejected(Path(file).relative_to(collection.root).as_posix(), each.reason) for file in files] or [each]
    return list(dict.fromkeys(told))


def _patients(refs: Sequence[ImageRef], dataset: Dataset | None) -> int | None:
    if dataset is not None and any(case.patient is not None or case.group is not None for case in dataset.cases):
        return len({int(number) for number in dataset.patients})
    known = {ref.patient for ref in refs if ref.patient is not None}
    return len(known) or None


def _class_counts(labelled: Labelled | None, dataset: Dataset | None) -> dict[str, int]:
    """Cases a class, of all labels that were read, also of classes too small to learn."""
    if labelled is None or not labelled.target.classes:
        return {} if dataset is None else counts(dataset)
    if labelled.target.kind.structured:
        return {each["class"]: each["cases"] for each in labelled.found if each["target"] == labelled.target.name}
    found = Counter(name for label in labelled.labels for name in _names(label.value))
    return {name: found[name] for name in labelled.target.classes}


def _names(value: object) -> list[str]:
    if isinstance(value, tuple):
        return [name for name, on in value if on]
    return [] if value == "" else [str(value)]


def _classes(labelled: Labelled | None) -> dict[str, list[str]]:
    """Names of the images of each class, for the picture sheets; all images under one heading where there are no classes."""
    found: dict[str, list[str]] = {}
    if labelled is None:
        return found
    for case, label in zip(labelled.cases, labelled.labels, strict=True):
        plain = labelled.target.classes and not labelled.target.kind.structured
        for name in _names(label.value) if plain else ["all images"]:
            found.setdefault(name, []).append(case.images[0].name)
    return dict(sorted(found.items()))


def _shortcuts(dataset: Dataset | None, seen: Seen, seed: int) -> list[dict[str, Json]]:
    if dataset is None:
        return []
    return shortcuts.find(dataset, seen.survey.pictures, rows(dataset, seen.survey), seed)


def _with_text(seen: Seen) -> list[str]:
    text = seen.survey.pictures.rows["text"]
    said = [ref.fact("burned_in_annotation") for ref in seen.survey.refs]
    return [
        ref.name
        for ref, score, word in zip(seen.survey.refs, text, said, strict=True)
        if (word or "").upper() == "YES" or (word is None and score >= _TEXT_LIKELY)
    ]


def _spacing(spacing_mm: tuple[float, float, float]) -> str:
    return " × ".join(f"{value:.3g}" for value in spacing_mm) + " mm"


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _warnings(collection: Collection, findings: Findings) -> list[str]:
    told = [
        *collection.warnings,
        *collection.notes,
        *findings.notes,
        *(f"learn would refuse this: {each.got}" for each in findings.refusals),
    ]
    if findings.moved:
        told.append(f"{len(findings.moved)} validation cases would move to training, because their group or a copy is there.")
    return told
