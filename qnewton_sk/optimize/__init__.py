"""The Newton loop: steps, step controls, epochs, and the records they leave."""

from .controls import FixedStep, LineSearch, TrustRegion, resolve_step_control
from .epochs import Journal, Stopping, drive, extend
from .newton import Newton
from .records import COLUMNS, Progress, StepRecord, history_table
from .step_control import ControlState, Direction, StepControl, Trial
from .steps import SADDLE_ADVICE

__all__ = [
    "COLUMNS",
    "SADDLE_ADVICE",
    "ControlState",
    "Direction",
    "FixedStep",
    "Journal",
    "LineSearch",
    "Newton",
    "Progress",
    "StepControl",
    "StepRecord",
    "Stopping",
    "Trial",
    "TrustRegion",
    "drive",
    "extend",
    "history_table",
    "resolve_step_control",
]
