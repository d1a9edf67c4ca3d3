"""What ``koppeling check`` finds: one line for each thing it tried, as a code with parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import TypedDict

from clients.errors import AFAS, RemoteError
from ops.language import SENTENCES, Language, say
from ops.tenants.manual_steps import STEPS

# There is no such system at the address, or not on the way to it.
OF_THE_HOST = (
    "connect_failed", "tls_failed", "timeout", "connection_broken", "redirect", "not_found", "not_json", "no_token",
    "unexpected_status", "insecure_url", "front_proxy", "gateway",
)  # fmt: skip
_NO_SUCH_ADDRESS = (404, 405, 410)
LONGEST = 500  # characters of one parameter


class FindingDocument(TypedDict):
    probe: str
    ok: bool
    severity: str
    code: str
    cause: str
    action: str
    # Of the customer's manual, where it says what is missing.
    manual_step: int | None
    parameters: dict[str, object]


@dataclass(frozen=True)
class Finding:
    """One finding. ``code`` is ``ok`` or one word a kind of fault; a warning is ok with a code of its own.

    ``parameters`` are those of the code's sentence, as JSON takes them, with what the other side said beside them:
    ``system``, ``said``, ``reference``, or what it is about in ``detail``.
    """

    # what was tried, e.g. "afas token"
    probe: str
    ok: bool
    code: str = "ok"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        """ok, warning or fault."""
        return "fault" if not self.ok else "ok" if self.code == "ok" else "warning"

    def kept(self) -> Mapping[str, object]:
        """As it is stored: without the other side's own words, which may name somebody."""
        parameters = {name: value for name, value in self.parameters.items() if name != "said"}
        return {"probe": self.probe, "ok": self.ok, "code": self.code, "parameters": parameters}

    def document(self, language: Language) -> FindingDocument:
        """As ``check`` prints it, in a language."""
        cause, action = self._sentences(language) if self.code != "ok" else ("", "")
        return {
            "probe": self.probe,
            "ok": self.ok,
            "severity": self.severity,
            "code": self.code,
            "cause": cause,
            "action": action,
            "manual_step": STEPS.get(self.code),
            "parameters": dict(self.parameters),
        }

    def _sentences(self, language: Language) -> tuple[str, str]:
        code = self.code if f"cause.{self.code}" in SENTENCES else "failed"
        given = {name: _shown(value, language) for name, value in self.parameters.items()} | {"code": self.code}
        beside = [say(name, language, **given) for name in ("detail", "said", "reference") if given.get(name)]
        step = STEPS.get(self.code)
        where = [say("manual_step", language, step=step)] if step else []
        cause, action = (say(f"{kind}.{code}", language, **given) for kind in ("cause", "action"))
        return " ".join([cause, *beside]), " ".join([action, *where])


def _shown(value: Any, language: Language) -> Any:
    """A list as it stands in a sentence."""
    if not isinstance(value, list):
        return value
    return ", ".join(_counted(str(one), language) for one in value) or say("none", language)


def _counted(text: str, language: Language) -> str:
    """How many there are for a reason (``3 no_email``), in words: ``no e-mail address (3)``."""
    count, _, reason = text.partition(" ")
    code = f"quality_kind.{reason}"
    return f"{say(code, language)} ({count})" if count.isdecimal() and code in SENTENCES else text


def fault(probe: str, code: str, **parameters: Any) -> Finding:
    """What failed."""
    return Finding(probe, False, code, fit(parameters))


def warning(probe: str, code: str, **parameters: Any) -> Finding:
    """Something to look at, but nothing that stops the work."""
    return Finding(probe, True, code, fit(parameters))


def fit(value: Any) -> Any:
    """A word of AFAS's or Pluvo's as it can be stored and read: no letters that nobody sees, and not too many."""
    if isinstance(value, Mapping):
        return {name: fit(one) for name, one in value.items()}
    if isinstance(value, list):
        return [fit(one) for one in value]
    if not isinstance(value, str):
        return value
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in value[:LONGEST])
    return text if len(value) <= LONGEST else text[:-1] + "…"


def refused(probe: str, error: RemoteError, codes: Mapping[str, str] | None = None) -> Finding:
    """A call that failed; ``codes`` are words of our own for some of the client's."""
    code = "not_found" if error.status in _NO_SUCH_ADDRESS else error.code
    beside = {"said": error.remote_text, "reference": error.reference}
    system = "AFAS" if error.system == AFAS else "Pluvo"
    given = {name: value for name, value in beside.items() if value}
    return fault(probe, (codes or {}).get(code, code), system=system, **given)


def tried(
    probe: str, trial: Callable[[], Iterator[Finding]], codes: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """Try one thing; a failed call becomes a finding under its own code."""
    try:
        yield from trial()
    except RemoteError as error:
        yield refused(probe, error, codes)
    except ValueError:
        yield fault(probe, "wrong_credentials")


def reached(system: str, trial: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Try the first call of all: first whether there is such a system, then whether it lets us in."""
    host, credentials = f"{system} host", f"{system} token"
    found = list(tried(credentials, trial))
    if found[0].code in OF_THE_HOST:
        yield fault(host, found[0].code, **found[0].parameters)
        return
    yield Finding(host, True)
    yield from found
