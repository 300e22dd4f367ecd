"""Simulated hosts: they answer every operation of an agent, and keep what they hold in the database.

``SimulatorChannel`` is the road to them, ``SimulatorConfig`` makes them slow, failing or silent, and ``state`` lets
tests and reports look at what they hold.
"""

from pileus.drivers.simulator.channel import SimulatorChannel
from pileus.drivers.simulator.config import SimulatorConfig

__all__ = ["SimulatorChannel", "SimulatorConfig"]
