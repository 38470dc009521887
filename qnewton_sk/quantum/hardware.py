"""Quantum hardware: gate and readout times, and the presets."""

from collections.abc import Iterator, Mapping
from math import inf
from numbers import Real
from typing import TypeVar

from sklearn.base import BaseEstimator

TOFFOLI_TWO_QUBIT_GATES = 6
TOFFOLI_ONE_QUBIT_GATES = 9
"""Gates of one Toffoli: 6 CNOT and 9 one-qubit gates (Nielsen and Chuang, figure 4.9), one after another."""

Part = TypeVar("Part")


class Presets(Mapping[str, Part]):
    """Read-only mapping of names to parts; every lookup returns a new copy.

    A grid search has to set parameters of a part (``scheduler__hardware__gate_seconds``), so a part cannot be
    frozen. Returning copies keeps such a change from reaching the preset and its other users.

    Parameters
    ----------
    parts : mapping of str to object
        The presets. A part holds its constructor parameters and nothing else, each an immutable value.
    """

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self._parts = dict(parts)

    def __getitem__(self, name: str) -> Part:
        part = self._parts[name]
        return type(part)(**vars(part))

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        return f"Presets({sorted(self._parts)})"


class QuantumHardware(BaseEstimator):
    """Gate and readout times of one quantum computer.

    Parameters
    ----------
    name : str, default="custom"
        Name that appears in the source of a cost estimate.
    gate_seconds : float, default=1e-6
        Time of one two-qubit gate in seconds; for a fault-tolerant machine, of one logical cycle.
    one_qubit_gate_seconds : float, default=None
        Time of one one-qubit gate in seconds; by default `gate_seconds`.
    readout_seconds : float, default=None
        Time to measure all qubits once, in seconds; by default `gate_seconds`.
    toffoli_seconds : float, default=None
        Time of one Toffoli gate in seconds; by default 6 two-qubit and 9 one-qubit gates in sequence.
    source : str, default=""
        Source of the times.
    date : str, default=""
        Date of the times, ISO 8601; empty for assumptions.

    Examples
    --------
    >>> from qnewton_sk import QuantumHardware
    >>> QuantumHardware("mine", gate_seconds=1e-8).effective_readout_seconds
    1e-08
    """

    def __init__(
        self,
        name: str = "custom",
        gate_seconds: float = 1e-6,
        one_qubit_gate_seconds: float | None = None,
        readout_seconds: float | None = None,
        toffoli_seconds: float | None = None,
        source: str = "",
        date: str = "",
    ) -> None:
        self.name = name
        self.gate_seconds = gate_seconds
        self.one_qubit_gate_seconds = one_qubit_gate_seconds
        self.readout_seconds = readout_seconds
        self.toffoli_seconds = toffoli_seconds
        self.source = source
        self.date = date

    @property
    def effective_readout_seconds(self) -> float:
        """Seconds to measure all qubits once, with the default filled in."""
        return self.gate_seconds if self.readout_seconds is None else self.readout_seconds

    @property
    def effective_toffoli_seconds(self) -> float:
        """Seconds of one Toffoli gate, with the default filled in."""
        if self.toffoli_seconds is not None:
            return self.toffoli_seconds
        one = self.gate_seconds if self.one_qubit_gate_seconds is None else self.one_qubit_gate_seconds
        return TOFFOLI_TWO_QUBIT_GATES * self.gate_seconds + TOFFOLI_ONE_QUBIT_GATES * one

    def check(self) -> None:
        """Raise ValueError unless every time is a positive, finite number of seconds."""
        check_seconds("gate_seconds", self.gate_seconds)
        for name in ("one_qubit_gate_seconds", "readout_seconds", "toffoli_seconds"):
            if getattr(self, name) is not None:
                check_seconds(name, getattr(self, name))


def check_seconds(name: str, value: float) -> None:
    """Raise ValueError unless `value` is a positive, finite number.

    Parameters
    ----------
    name : str
        Parameter that the message names.
    value : float
        Value that the user gave.
    """
    if not (isinstance(value, Real) and 0 < value < inf):
        raise ValueError(
            f"`{name}` must be a positive, finite number of seconds, such as 1e-9 for a nanosecond; got {value!r}"
        )


_CALIBRATION = "calibration snapshot of the device, medians"
_ASSUMED = "assumption of arXiv:2405.00252, section II-E; no such machine exists"
_DATE = "2025-02-26"

HARDWARE: Presets[QuantumHardware] = Presets(
    {
        machine.name: machine
        for machine in (
            QuantumHardware(
                "ibm_sherbrooke",
                gate_seconds=533.33e-9,
                one_qubit_gate_seconds=56.89e-9,
                readout_seconds=1216e-9,
                source=f"{_CALIBRATION}, ECR gate",
                date=_DATE,
            ),
            QuantumHardware("ibm_brisbane", 660e-9, source=f"{_CALIBRATION}, ECR gate", date=_DATE),
            QuantumHardware("ibm_torino", 68e-9, source=f"{_CALIBRATION}, CZ gate", date=_DATE),
            QuantumHardware("ibm_fez", 84e-9, source=f"{_CALIBRATION}, CZ gate", date=_DATE),
            QuantumHardware("ibm_marrakesh", 68e-9, source=f"{_CALIBRATION}, CZ gate", date=_DATE),
            QuantumHardware("photonic", 1e-9, source=f"{_ASSUMED}: photonic gates at GHz rate"),
            QuantumHardware("terahertz", 1e-12, source=f"{_ASSUMED}: gates at THz rate"),
            QuantumHardware("attosecond", 1e-18, source=f"{_ASSUMED}: attosecond physics"),
            QuantumHardware(
                "fault_tolerant",
                1e-6,
                toffoli_seconds=1e-6,
                source="usual assumption: logical cycles of 1 us, one Toffoli gate per cycle, no wait for magic states",
            ),
        )
    }
)
"""Presets by name. If only the two-qubit gate time is known, one-qubit gates and readout are assumed to take
as long."""


def hardware_named(hardware: str | QuantumHardware) -> QuantumHardware:
    """Return the `QuantumHardware` of a name, or the given one, with its times checked.

    Raises
    ------
    ValueError
        If no preset has that name, or a time is not a positive, finite number.
    """
    machine = HARDWARE.get(hardware) if isinstance(hardware, str) else hardware
    if machine is not None and machine is not hardware:
        return machine  # every step asks for it; presets need no check
    if not isinstance(machine, QuantumHardware):
        raise ValueError(
            f"`hardware` must be a QuantumHardware or one of {sorted(HARDWARE)}; got {hardware!r}"
        )
    machine.check()
    return machine
