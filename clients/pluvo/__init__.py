"""Pluvo over HTTP: accounts, enrollments, portfolios, as GraphQL documents."""

from clients.pluvo.client import PLUVO_HOSTS, PluvoClient, pluvo_base_url
from clients.pluvo.combiner import Combiner
from clients.pluvo.graphql import SchemaMemory
from clients.pluvo.operations import OPERATIONS, Operation
from clients.pluvo.records import (
    Applied,
    Enrollment,
    Group,
    Memberships,
    NewUser,
    OfferEvent,
    PluvoUser,
    PortfolioRow,
    Target,
    TrainingInfo,
    UserChanges,
    UserPage,
    is_active,
    same_email,
    waits,
)

__all__ = [
    "OPERATIONS",
    "PLUVO_HOSTS",
    "Applied",
    "Combiner",
    "Enrollment",
    "Group",
    "Memberships",
    "NewUser",
    "OfferEvent",
    "Operation",
    "PluvoClient",
    "PluvoUser",
    "PortfolioRow",
    "SchemaMemory",
    "Target",
    "TrainingInfo",
    "UserChanges",
    "UserPage",
    "is_active",
    "pluvo_base_url",
    "same_email",
    "waits",
]
