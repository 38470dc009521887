"""Quantum hardware: times with their defaults, presets that nobody can edit, and settings that are named."""

import copy
import math
import pickle
import re
from pathlib import Path

import pytest

from qnewton_sk import HARDWARE, QuantumCost, QuantumHardware, Scheduler, SystemFacts
from qnewton_sk.quantum.hardware import hardware_named


def test_a_toffoli_is_made_of_both_kinds_of_gate():
    sherbrooke = HARDWARE["ibm_sherbrooke"]
    assert sherbrooke.effective_toffoli_seconds == pytest.approx(6 * 533.33e-9 + 9 * 56.89e-9)
    assert QuantumHardware("even", gate_seconds=1e-9).effective_toffoli_seconds == pytest.approx(15e-9)


def test_times_that_are_not_given_are_those_of_the_gate():
    machine = QuantumHardware("even", gate_seconds=2.0)
    assert machine.effective_readout_seconds == 2.0
    assert QuantumHardware(toffoli_seconds=3.0, readout_seconds=4.0).effective_toffoli_seconds == 3.0
    assert QuantumHardware(toffoli_seconds=3.0, readout_seconds=4.0).effective_readout_seconds == 4.0


@pytest.mark.parametrize("name", sorted(HARDWARE))
def test_changing_a_looked_up_preset_does_not_change_the_preset(name):
    before = HARDWARE[name].get_params()
    HARDWARE[name].set_params(gate_seconds=1.0)
    HARDWARE.get(name).gate_seconds = 2.0
    hardware_named(name).gate_seconds = 3.0
    for machine in HARDWARE.values():
        machine.set_params(gate_seconds=4.0)
    assert HARDWARE[name].get_params() == hardware_named(name).get_params() == before


def test_presets_cannot_be_added_replaced_or_deleted():
    with pytest.raises(TypeError):
        HARDWARE["mine"] = QuantumHardware("mine")
    with pytest.raises(TypeError):
        del HARDWARE["photonic"]
    assert "mine" not in HARDWARE and "photonic" in HARDWARE
    with pytest.raises(KeyError, match="mine"):
        HARDWARE["mine"]


def test_setting_the_hardware_of_a_scheduler_in_place_changes_no_other_scheduler():
    facts = SystemFacts(n=100, kappa=10.0)
    scheduler = Scheduler(hardware=HARDWARE["photonic"])
    before = Scheduler(hardware="photonic").choose(facts, 1e-2).quantum_seconds
    scheduler.set_params(hardware__gate_seconds=1e-3)
    assert scheduler.choose(facts, 1e-2).quantum_seconds == pytest.approx(1e6 * before)
    assert Scheduler(hardware="photonic").choose(facts, 1e-2).quantum_seconds == before
    assert QuantumCost(hardware=HARDWARE["photonic"])(facts, 1e-2).terms["gate_seconds"] == 1e-9


def test_presets_survive_copying_and_pickling():
    for same in (copy.deepcopy(HARDWARE), pickle.loads(pickle.dumps(HARDWARE))):
        assert list(same) == list(HARDWARE)
        assert same["ibm_fez"].get_params() == HARDWARE["ibm_fez"].get_params()


TIMES = ("gate_seconds", "one_qubit_gate_seconds", "readout_seconds", "toffoli_seconds")


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("wrong", ["1ns", 0.0, -1e-9, math.nan, math.inf, [1e-9]])
def test_a_time_that_is_not_a_positive_number_is_named(name, wrong):
    machine = QuantumHardware(**{name: wrong})
    message = rf"`{name}` must be a positive, finite number of seconds, such as 1e-9 .*; got {re.escape(repr(wrong))}"
    with pytest.raises(ValueError, match=message):
        machine.check()
    with pytest.raises(ValueError, match=message):
        QuantumCost(hardware=machine).check()
    with pytest.raises(ValueError, match=message):
        Scheduler(hardware=machine).available_backends()


def test_a_gate_time_of_none_is_named():
    with pytest.raises(ValueError, match="`gate_seconds` must be"):
        QuantumHardware(gate_seconds=None).check()


@pytest.mark.parametrize("wrong", ["abacus", 3, None, ["photonic"]])
def test_unknown_hardware_raises_an_error_that_lists_the_presets(wrong):
    with pytest.raises(
        ValueError, match=r"`hardware` must be a QuantumHardware or one of .*'attosecond'.*got"
    ):
        hardware_named(wrong)


def test_the_machines_in_the_documentation_are_the_presets():
    text = (Path(__file__).parents[2] / "docs" / "quantum.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| [^|]*\|$", text, re.MULTILINE)
    presets = {name: machine.gate_seconds for name, machine in HARDWARE.items()}
    assert {name: float(seconds) for name, seconds in rows} == presets
