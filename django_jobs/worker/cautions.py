"""How careful the children of a supervisor are to be: after a death that no handler explains, for some seconds."""

from __future__ import annotations

from typing import Final

from django_jobs.engine import uptime
from django_jobs.engine.execution.leases import Loss
from django_jobs.worker.shared_slots import Caution, SharedSlots

#: After a death that no handler explains the children are careful for so long: who kills them then stands alone.
CAUTION_SECONDS: Final = 30.0


class Cautions:
    """The cautions of one supervisor."""

    def __init__(self) -> None:
        #: Until when the children have each, on the clock that all processes of a machine share.
        self.until = dict.fromkeys(Caution, 0.0)

    def note_death(self, loss: Loss) -> None:
        """Ask for a caution if a child died of what no handler explains."""
        is_explained = loss.gave_up or (loss.started and not loss.in_hand)
        if loss.how != "lost" or is_explained:
            return
        now = uptime.seconds()
        # Mostly it is an import that kills during a claim; not where several were claimed in spite of caution.
        is_import = loss.in_hand and (len(loss.in_hand) == 1 or now >= self.until[Caution.WITH_UNLOADED])
        self.until[Caution.WITH_UNLOADED if is_import else Caution.WITH_ALL] = now + CAUTION_SECONDS

    def tell(self, slots: SharedSlots) -> None:
        """Tell a child that shares these slots."""
        for caution, until in self.until.items():
            slots.note_caution(caution, until)
