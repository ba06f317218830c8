"""Pixels, outlines and small pictures for the pages. Addressed by content, so a browser keeps what it has once fetched."""

from __future__ import annotations

import gzip
import io
from http import HTTPStatus
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image as Pillow

from medloop import registry
from medloop.errors import InputError, Unreadable
from medloop.store import proposals, studies
from medloop.types import ImageRef
from medloop.web.decoded import About, Decoded, decoded, key
from medloop.web.security import Person
from medloop.web.shown import hide
from medloop.web.site import Here, Number, Site
from medloop.wire import to_json
from medloop.workspace.atomic import write_bytes

router = APIRouter(prefix="/api", tags=["images"])
Small = Annotated[int, Path(ge=0, le=100_000)]
Content = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Blob = Annotated[str, Path(pattern=r"^[0-9a-f]{64}(\.[a-z0-9]{1,8}){0,2}$")]
_FOREVER = "private, max-age=31536000, immutable"
_SIDE = 96


@router.get("/cases/{case}/images/{image}/{content}")
def about(request: Request, person: Person, site: Here, case: Number, image: Small, content: Content) -> Response:
    """What the viewer must know of an image: shape, number type, spacing, window."""
    return JSONResponse(to_json(_opened(site, case, image, content).about), headers=_kept(content))


@router.get("/cases/{case}/images/{image}/{content}/{time}/{channel}/{slab}")
def pixels(
    request: Request,
    person: Person,
    site: Here,
    case: Number,
    image: Small,
    content: Content,
    time: Small,
    channel: Small,
    slab: Small,
) -> Response:
    """Some slices, little-endian numbers of the image's type, slice after slice."""
    tag = f"{content}-{time}-{channel}-{slab}"
    if request.headers.get("if-none-match") == f'"{tag}"':
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=_kept(tag))
    found = _opened(site, case, image, content).slab(time, channel, slab)
    if found is None:
        raise InputError(
            "no-such-slices", got="There are no such slices.", allowed="Slices that the image has.", fix="Mend the address."
        )
    return _squeezed(found, tag)


@router.get("/marks/{blob}")
def marks(person: Person, site: Here, blob: Blob) -> Response:
    """An outline: one byte a voxel, 0 for none of its classes, k + 1 for the k-th; slice after slice."""
    try:
        found = registry.load("readers", "outline").decoded(site.store.blobs.get(blob), blob)
    except Unreadable as error:
        raise InputError(
            "no-outline", got=f"It is no outline: {error}.", allowed="The blob of an outline.", fix="Mend the address."
        ) from error
    return _squeezed(np.ascontiguousarray(found).tobytes(), blob)


@router.get("/proposals/{number}/heat")
def heat(person: Person, site: Here, number: Number) -> Response:
    """Where the model looked: one byte a voxel, 0 (cold) to 255. The first time it is asked for it is computed, in some seconds."""
    hide(site.store, proposals.get(site.store, number).case_id, person.name)
    found = registry.part("loop", "findings").heat_of(site.store, number)
    if found is None:
        raise InputError(
            "no-heat",
            got="This model cannot say where it looked.",
            allowed="A model that can.",
            fix="Judge by the image and the outline.",
        )
    return _squeezed(np.ascontiguousarray(found).tobytes(), f"heat-{number}")


@router.get("/cases/{case}/thumbnail")
def thumbnail(person: Person, site: Here, case: Number) -> Response:
    """A small picture of the middle slice."""
    row = studies.get(site.store, case)
    if not row.refs:
        raise InputError("no-image", got="The study has no image.", allowed="A study with images.", fix="Choose another study.")
    place = site.workspace.cache / "pages" / "small" / f"{key(row.refs[0])}.png"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, _small(_read(site, row.refs[0])))
    return Response(place.read_bytes(), media_type="image/png", headers={"Cache-Control": "private, max-age=86400"})


def addresses(case: int, refs: tuple[ImageRef, ...]) -> list[str]:
    """Where the images of a case are asked for, below the server's path."""
    return [f"/api/cases/{case}/images/{index}/{key(ref)}" for index, ref in enumerate(refs)]


def first_slab(about: About) -> str:
    """The part of the address of what is shown first."""
    t, _, z = about.shape[:3]
    return f"{t // 2 if z == 1 else 0}/0/{z // 2 // about.slab}"


def _opened(site: Site, case: int, image: int, content: str) -> Decoded:
    refs = studies.get(site.store, case).refs
    if image >= len(refs) or key(refs[image]) != content:
        raise InputError(
            "no-such-image",
            got="The case has no such image.",
            allowed="An image as the review page names it.",
            fix="Load the page again.",
        )
    return _read(site, refs[image])


def _read(site: Site, ref: ImageRef) -> Decoded:
    for file in ref.files:
        if blob := site.store.blobs.key_of(file):
            site.store.blobs.local(blob)
    try:
        return decoded(site.workspace.cache, ref)
    except Unreadable as error:
        raise InputError(
            "unreadable-image",
            got=f"The image cannot be read: {error}.",
            allowed="An image that is whole.",
            fix="Send the study again.",
        ) from error


def _small(image: Decoded) -> bytes:
    about = image.about
    t, z = about.shape[0] // 2 if about.shape[2] == 1 else 0, about.shape[2] // 2
    plane = np.asarray(image.pixels[t, 0, z]).astype(np.float32)
    if about.colour:
        shown = plane.reshape(plane.shape[0], -1, 3)
    else:
        centre, width = about.window
        shown = 255 * (plane * about.slope + about.intercept - centre + width / 2) / width
    made = np.clip(shown, 0, 255).astype(np.uint8)
    made = made[:: -1 if about.flip[0] else 1, :: -1 if about.flip[1] else 1]
    picture = Pillow.fromarray(np.ascontiguousarray(made))
    picture.thumbnail((_SIDE * 2, _SIDE * 2), Pillow.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _squeezed(content: bytes, tag: str) -> Response:
    packed = gzip.compress(content, compresslevel=1, mtime=0)
    return Response(packed, media_type="application/octet-stream", headers={**_kept(tag), "Content-Encoding": "gzip"})


def _kept(tag: str) -> dict[str, str]:
    return {"Cache-Control": _FOREVER, "ETag": f'"{tag}"'}
