"""Pluvo as far as Koppeling knows it: its GraphQL schema, tokens, webhooks."""

from simulators.pluvo.simulator import PluvoSimulator

__all__ = ["PluvoSimulator"]
