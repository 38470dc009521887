"""What a cost model answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CostEstimate:
    """Predicted cost of one solve.

    Parameters
    ----------
    seconds : float
        Predicted time.
    terms : mapping of str to float
        Every factor that went in, under a name that carries its unit.
    source : str
        Where the formula comes from.
    """

    seconds: float
    terms: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
