"""Kinds of work, and what part of the worker each gets while others wait, too."""

from enum import Enum


class ServiceClass(Enum):
    """A kind of work; those above win ties."""

    PROBE = "probe"
    """The worker's own trial of a version: short passes that whoever pushes waits for."""
    INTERACTIVE = "interactive"
    """Somebody waits for this answer."""
    BULK = "bulk"
    """Somebody waits for many such answers."""

    @property
    def weight(self) -> float:
        """Its share of the encoder's work, in proportion to those of the others that wait."""
        return _WEIGHTS[self]


# Probes practically always go first; of the rest, bulk keeps a quarter however many calls there
# are, so that neither starves.
_WEIGHTS = {ServiceClass.PROBE: 1000.0, ServiceClass.INTERACTIVE: 3.0, ServiceClass.BULK: 1.0}
