"""Backends and the scheduler that gives each system to the cheapest one."""

from .backends import Backend, classical_backends, default_backends, quantum_backend
from .scheduler import Decision, Scheduler, resolve_scheduler

__all__ = [
    "Backend",
    "Decision",
    "Scheduler",
    "classical_backends",
    "default_backends",
    "quantum_backend",
    "resolve_scheduler",
]
