"""Every verb and duty of the engine, each as a scenario."""

from __future__ import annotations

from typing import Final

from lab.faults.crash_points.scenario import Scenario
from lab.faults.crash_points.scenarios import batches, broken, control, duties, execution, submission

MODULES: Final = (submission, execution, control, duties, batches)
ALL: Final[dict[str, Scenario]] = {item.name: item for module in MODULES for item in module.SCENARIOS}
BROKEN: Final[dict[str, Scenario]] = {item.name: item for item in broken.SCENARIOS}
