"""AFAS Profit over HTTP: pages of GetConnectors, UpdateConnectors, tokens."""

from clients.afas.address import AFAS_HOSTS, afas_base_url, parse_member_id
from clients.afas.auth import Authorizer, OAuth, Token, normalise_token
from clients.afas.client import AfasClient
from clients.afas.metainfo import Field, MetaInfo
from clients.afas.otp import AfasOtp
from clients.afas.query import MAX_TAKE, Condition, Operator, page_size

__all__ = [
    "AFAS_HOSTS",
    "MAX_TAKE",
    "AfasClient",
    "AfasOtp",
    "Authorizer",
    "Condition",
    "Field",
    "MetaInfo",
    "OAuth",
    "Operator",
    "Token",
    "afas_base_url",
    "normalise_token",
    "page_size",
    "parse_member_id",
]
