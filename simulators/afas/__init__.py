"""AFAS Profit as far as Koppeling knows it: GetConnectors, UpdateConnectors, metainfo, tokens."""

from simulators.afas.simulator import AfasSimulator

__all__ = ["AfasSimulator"]
