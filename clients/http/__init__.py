"""One HTTP call, with limits, and tokens kept between calls. Both clients stand on this."""

from clients.http.base_url import checked_base_url
from clients.http.call import Call, Http, Response, TooManyObjects, parse_retry_after
from clients.http.idle_threads import waiting
from clients.http.tokens import TokenCache
from clients.redaction import MASK, clean, mask, without_people

__all__ = [
    "MASK",
    "Call",
    "Http",
    "Response",
    "TokenCache",
    "TooManyObjects",
    "checked_base_url",
    "clean",
    "mask",
    "parse_retry_after",
    "waiting",
    "without_people",
]
