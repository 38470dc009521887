"""Quantum hardware: gate and readout times, and the presets."""

from sklearn.base import BaseEstimator

TOFFOLI_TWO_QUBIT_GATES = 6
TOFFOLI_ONE_QUBIT_GATES = 9
"""Gates of one Toffoli: 6 CNOT and 9 one-qubit gates (Nielsen and Chuang, figure 4.9), one after another."""


class QuantumHardware(BaseEstimator):
    """Times of one quantum machine.

    Parameters
    ----------
    name : str
        What it is called.
    gate_seconds : float
        Time of one two-qubit gate; for a fault-tolerant machine, of one logical cycle.
    one_qubit_gate_seconds : float, default=None
        Time of one one-qubit gate; by default the same as `gate_seconds`.
    readout_seconds : float, default=None
        Time to measure all qubits once; by default the same as `gate_seconds`.
    toffoli_seconds : float, default=None
        Time of one Toffoli gate; by default 6 two-qubit and 9 one-qubit gates in sequence.
    source : str, default=""
        Where the figures come from.
    date : str, default=""
        When they held, ISO 8601; empty for assumptions.

    Examples
    --------
    >>> from qnewton_sk import QuantumHardware
    >>> QuantumHardware("mine", gate_seconds=1e-8).readout
    1e-08
    """

    def __init__(
        self,
        name="custom",
        gate_seconds=1e-6,
        one_qubit_gate_seconds=None,
        readout_seconds=None,
        toffoli_seconds=None,
        source="",
        date="",
    ):
        self.name = name
        self.gate_seconds = gate_seconds
        self.one_qubit_gate_seconds = one_qubit_gate_seconds
        self.readout_seconds = readout_seconds
        self.toffoli_seconds = toffoli_seconds
        self.source = source
        self.date = date

    @property
    def readout(self):
        """Seconds to measure all qubits once."""
        return self.gate_seconds if self.readout_seconds is None else self.readout_seconds

    @property
    def toffoli(self):
        """Seconds of one Toffoli gate."""
        if self.toffoli_seconds is not None:
            return self.toffoli_seconds
        one = self.gate_seconds if self.one_qubit_gate_seconds is None else self.one_qubit_gate_seconds
        return TOFFOLI_TWO_QUBIT_GATES * self.gate_seconds + TOFFOLI_ONE_QUBIT_GATES * one

    def fault(self):
        """Return what is wrong with the settings, or None."""
        for name in ("gate_seconds", "one_qubit_gate_seconds", "readout_seconds", "toffoli_seconds"):
            value = getattr(self, name)
            optional = name != "gate_seconds"
            if value is None and optional:
                continue
            if value is None or not value > 0:
                return f"`{name}` must be a positive number of seconds; got {value!r}"
        return None


_CALIBRATION = "calibration snapshot of the device, medians"
_ASSUMED = "assumption of arXiv:2405.00252, section II-E; no such machine exists"

HARDWARE = {
    "ibm_sherbrooke": QuantumHardware(
        "ibm_sherbrooke", 533.33e-9, 56.89e-9, 1216e-9, None, f"{_CALIBRATION}, ECR gate", "2025-02-26"
    ),
    "ibm_brisbane": QuantumHardware(
        "ibm_brisbane", 660e-9, None, None, None, f"{_CALIBRATION}, ECR gate", "2025-02-26"
    ),
    "ibm_torino": QuantumHardware(
        "ibm_torino", 68e-9, None, None, None, f"{_CALIBRATION}, CZ gate", "2025-02-26"
    ),
    "ibm_fez": QuantumHardware("ibm_fez", 84e-9, None, None, None, f"{_CALIBRATION}, CZ gate", "2025-02-26"),
    "ibm_marrakesh": QuantumHardware(
        "ibm_marrakesh", 68e-9, None, None, None, f"{_CALIBRATION}, CZ gate", "2025-02-26"
    ),
    "photonic": QuantumHardware("photonic", 1e-9, source=f"{_ASSUMED}: photonic gates at GHz rate"),
    "terahertz": QuantumHardware("terahertz", 1e-12, source=f"{_ASSUMED}: gates at THz rate"),
    "attosecond": QuantumHardware("attosecond", 1e-18, source=f"{_ASSUMED}: attosecond physics"),
    "fault_tolerant": QuantumHardware(
        "fault_tolerant",
        1e-6,
        toffoli_seconds=1e-6,
        source="usual assumption: a logical cycle of 1 us, one Toffoli a cycle, no wait for magic states",
    ),
}
"""Presets by name. Where only the two-qubit gate is known, one-qubit gates and readout take its time."""


def hardware_named(hardware):
    """Return the `QuantumHardware` of a name, or the given one.

    Raises
    ------
    ValueError
        If no preset has that name, or a time is not positive.
    """
    machine = HARDWARE.get(hardware) if isinstance(hardware, str) else hardware
    if not isinstance(machine, QuantumHardware):
        known = sorted(HARDWARE)
        raise ValueError(f"`hardware` must be a QuantumHardware or one of {known}; got {hardware!r}")
    fault = machine.fault()
    if fault:
        raise ValueError(fault)
    return machine
