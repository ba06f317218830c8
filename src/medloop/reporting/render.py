"""From a context to one self-contained page: no script, nothing fetched (its own content policy forbids both)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("medloop.reporting"), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )


def page(template: str, context: Mapping[str, Any]) -> str:
    """The page as HTML. Every text of the context is escaped."""
    environment = _environment()
    source = environment.loader.get_source(environment, "style.css")[0] if environment.loader is not None else ""
    return environment.get_template(template).render(style=Markup(source), **context)
