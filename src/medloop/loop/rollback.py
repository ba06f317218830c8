"""Make the former champion champion again, exactly as it was: its files were never touched, and are checked before."""

from __future__ import annotations

from medloop import families
from medloop.errors import InputError
from medloop.loop import _records
from medloop.loop._card import write_card
from medloop.loop._models import model_of
from medloop.loop.retrain import folder_of
from medloop.progress import QUIET, Progress
from medloop.requests import RollbackRequest, RollbackResult
from medloop.store import Store, models
from medloop.store.records import ModelRow, PromotionRow
from medloop.workspace import Workspace


def rollback(workspace: Workspace, request: RollbackRequest, tell: Progress = QUIET) -> RollbackResult:
    """Put a former champion back. Raises `InputError` where there is none, or its files are not as they were saved."""
    del tell
    workspace.ready()
    with _records.opened(workspace, request.database, request.blobs) as opened:
        champion = models.champion(opened)
        former = _former(opened, champion, request.to)
        families.load(folder_of(workspace, former))
        row = PromotionRow(
            champion_id=None if champion is None else champion.id,
            challenger_id=former.id,
            decision="rolled-back",
            by=request.by,
            reason=request.reason.strip(),
        )
        models.decide(opened, row, request.by)
        for each in (champion, former):
            if each is not None:
                write_card(workspace, opened, each.id)
    return RollbackResult(champion=former.id, name=former.name, instead_of="" if champion is None else champion.name)


def _former(opened: Store, champion: ModelRow | None, said: str) -> ModelRow:
    """The model named, or the one that was champion before the champion of now."""
    if said:
        row = model_of(opened, said)
        if row.state == "former":
            return row
        raise _none(f"{row.name} is {row.state}.")
    for crowned in models.decisions(opened):
        own = champion is not None and crowned.challenger_id == champion.id and crowned.decision == "promoted"
        if own and crowned.champion_id is not None:
            return models.get(opened, crowned.champion_id)
    raise _none("No model was champion before.")


def _none(got: str) -> InputError:
    return InputError("no-former", got=got, allowed="A model that was champion before.", fix="See medloop models.")
