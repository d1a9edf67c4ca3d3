"""Read a tenants file: all of it or nothing, and every problem at once, each with its line.

tenants.toml:17: tenants.afas.parallel_calls: must be 1 to 5
"""

from __future__ import annotations

import difflib
import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

import settings
from ops.language import Words, values
from ops.problems import FileProblems, Problem
from ops.tenants import file_spec
from ops.tenants.file_spec import Tenant
from ops.tenants.toml_lines import Lines
from ops.terminal import files

MAX_BYTES = 20_000_000
MAX_DOTS = 100  # in a line
MAX_TOLD = 100  # problems
MAX_NAME = 100  # letters of a key that are shown
_WORDS = {
    "string_type": "must be text: write it between quotes",
    "int_type": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number, without quotes",
    "float_parsing": "must be a number, without quotes",
    "finite_number": "must be a number, without quotes",
    "bool_type": "must be true or false, without quotes",
    "string_too_short": "is empty",
    "string_pattern_mismatch": "must be letters, digits and underscores only",
    **dict.fromkeys(("list_type", "tuple_type"), "must be an array of tables: write [[…]]"),
    "model_type": "must be a table: write […]",
}


def read(path: Path) -> list[Tenant]:
    """The tenants of a file. Raises FileProblems that names every problem with file and line.

    Secrets that are left out may be stored already: ``importing.apply`` says which are not.
    """
    content = files.read_text(path, MAX_BYTES).replace("\r\n", "\n")
    return parse(content, name=str(path), folder=path.parent, keep_secrets=True)


def parse(content: str, *, name: str, folder: Path, keep_secrets: bool = False) -> list[Tenant]:
    """The tenants in a text; ``folder`` is where relative secret files are looked for.

    ``keep_secrets``: needed secrets may be left out.
    """
    for number, written in enumerate(content.split("\n"), 1):
        # Each part of a dotted key costs as much as all those before it.
        if written.count(".") > MAX_DOTS and not written.lstrip().startswith("#"):
            raise FileProblems([_at(f"{name}:{number}", Words("problem.file_dots", most=MAX_DOTS))])
    try:
        document = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise FileProblems([_syntax(name, content, str(error))]) from None
    except ValueError:  # Python reads no numbers of thousands of digits
        long = re.search(r"[0-9_]{1000}", content)
        line = content.count("\n", 0, long.start()) + 1 if long else 1
        raise FileProblems([_at(f"{name}:{line}", Words("problem.file_long_number"))]) from None
    except RecursionError:
        raise FileProblems([_at(f"{name}:1", Words("problem.file_nested"))]) from None
    tenants, found = _judged(document, folder, keep_secrets)
    if found:
        lines = Lines(content)
        placed = sorted({(lines.line(path), _named(path), what) for path, what in found})
        told = [_at(f"{name}:{line}", Words("problem.at", place=key, what=words(what))) for line, key, what in placed]
        told = told[:MAX_TOLD]
        more = len(placed) - MAX_TOLD
        raise FileProblems(told + ([Words("problem.file_more", name=name, more=more)] if more > 0 else []))
    return tenants


def judge(document: Mapping[str, Any], *, keep_secrets: bool = False) -> list[Tenant]:
    """The same for a document that came as JSON: each problem names its key, and a secret is text.

    Nothing is read for it: neither environment variables nor files of this machine.
    """
    tenants, found = _judged(document, None, keep_secrets)
    if found:
        placed = sorted({(".".join(str(part)[:MAX_NAME] for part in path), what) for path, what in found})
        raise FileProblems([_at(path, words(what)) for path, what in placed[:MAX_TOLD]])
    return tenants


class WrongValues(Problem):
    """What can't be used: ``told`` says of each key why."""

    def __init__(self, code: str, /, *, keys: str, told: Mapping[str, Words | str]) -> None:
        super().__init__(code, keys=keys)
        self.told = told


def judge_one(document: Mapping[str, Any]) -> Tenant:
    """The same for one tenant that was stored or asked for: its addresses were judged then. Raises WrongValues."""
    context = {"folder": Path(), "allow_insecure_urls": True, "keep_secrets": True}
    try:
        return Tenant.model_validate(document, context=context, extra="forbid")
    except ValidationError as error:
        found = [problem_of(one) for one in error.errors(include_url=False, include_input=False)]
        told = {_key(path): words(said) for path, said in found}
        raise WrongValues("wrong_values", keys=", ".join(told), told=told) from None


def _key(path: tuple[str | int, ...]) -> str:
    """Of a blackout there is one field for all of them."""
    return "blackout" if path[:1] == ("blackout",) else ".".join(map(str, path))


def _judged(
    document: Mapping[str, Any], folder: Path | None, keep_secrets: bool
) -> tuple[list[Tenant], list[tuple[tuple[str | int, ...], str]]]:
    """The tenants, and what is wrong where."""
    context = {
        "folder": folder,
        "allow_insecure_urls": settings.get().allow_insecure_urls,
        "keep_secrets": keep_secrets,
    }
    found: list[tuple[tuple[str | int, ...], str]] = []
    tenants: list[Tenant] = []
    try:
        tenants = file_spec.File.model_validate(document, context=context, extra="forbid").tenants
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        found += [problem_of(detail) for detail in details[: 10 * MAX_TOLD]]
    return tenants, [*found, *_doubles(document)]


def _at(place: str, what: Words | str) -> Words:
    return Words("problem.at", place=place, what=what)


def words(said: str) -> Words | str:
    """What is said of a value, as a code; the text itself where the catalogue has none that reads so."""
    for code, pattern in _patterns():
        if found := pattern.fullmatch(said):
            return Words(code, **found.groupdict())
    return said


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """The sentences of ``values.py``: those without parameters first, then in their order there."""
    found = []
    for code, text in values.SENTENCES.items():
        parts = [(re.escape(plain), name) for plain, name, _, _ in string.Formatter().parse(str(text))]
        pattern = "".join(plain + (f"(?P<{name}>.+)" if name else "") for plain, name in parts)
        found.append((any(name for _, name in parts), code, re.compile(pattern, re.DOTALL)))
    return [(code, pattern) for _, code, pattern in sorted(found, key=lambda one: one[0])]


def _syntax(name: str, content: str, said: str) -> str:
    place = re.search(r"\s*\(at (?:line (\d+), column \d+|end of document)\)", said)
    line = place[1] if place and place[1] else len(content.rstrip().splitlines()) or 1
    return f"{name}:{line}: {said[: place.start()] if place else said}"


def _named(path: tuple[str | int, ...]) -> str:
    return ".".join(part[:MAX_NAME] for part in path if isinstance(part, str)) or "file"


def problem_of(detail: ErrorDetails) -> tuple[tuple[str | int, ...], str]:
    """Where one of pydantic's errors is, and what it says in our words."""
    path, kind = detail["loc"], detail["type"]
    context = detail.get("ctx", {})
    if kind == "missing":
        return path[:-1], f"{path[-1]} is missing"
    if kind == "extra_forbidden":
        said = f"unknown key{_did_you_mean(path)}"
    elif kind == "value_error":
        said = str(context["error"])
    elif kind == "literal_error":
        said = f"must be {context['expected']}"
    elif kind in ("greater_than_equal", "less_than_equal"):
        said = _range(path, detail["msg"])
    elif kind == "tuple_type" and path[-1] in ("mail", "quality_mail"):
        said = 'must be a list of addresses: ["support@example.nl"]'
    elif kind == "tuple_type" and path[-1] == "days":
        said = 'must be a list of days: ["mon", "fri"]'
    elif kind == "too_long" and path[-1] == "blackout":
        said = f"must be at most {context['max_length']}"
    elif kind == "too_short":
        said = "is empty"
    elif kind == "string_too_long":
        said = f"is longer than {context['max_length']} characters"
    else:
        said = _WORDS.get(kind, detail["msg"])
    return path, said


def _range(path: tuple[str | int, ...], said: str) -> str:
    whole = {"parallel_calls": "must be 1 to 5", "people_per_call": "must be 1 to 25"}
    if str(path[-1]) in whole:
        return whole[str(path[-1])]
    if str(path[-1]).endswith("_percent"):
        return "must be 0 to 100"
    return said.replace("Input should be", "must be")


def _did_you_mean(path: tuple[str | int, ...]) -> str:
    model: Any = file_spec.File
    for part in path[:-1]:
        if isinstance(part, str) and model is not None:
            model = model_of(model, part)
    known = list(model.model_fields) if model is not None else []
    close = difflib.get_close_matches(str(path[-1])[:MAX_NAME], known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def model_of(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The class of a table in a table; None for a plain key."""
    kind = model.model_fields[key].annotation if key in model.model_fields else None
    inner = getattr(kind, "__args__", (kind,))[0]
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def _doubles(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Slugs used twice in the file, event ids used twice in a tenant."""
    tenants = _tables(document.get("tenants"))
    yield from _repeated(tenants, ("tenants",), "slug")
    for number, tenant in enumerate(tenants):
        yield from _repeated(_tables(tenant.get("courses")), ("tenants", number, "courses"), "event_id")


def _tables(value: object) -> list[Mapping[str, Any]]:
    return [item if isinstance(item, Mapping) else {} for item in value] if isinstance(value, list) else []


def _repeated(
    tables: list[Mapping[str, Any]], path: tuple[str | int, ...], key: str
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    seen: set[str] = set()
    for number, table in enumerate(tables):
        value = table.get(key)
        if isinstance(value, str):
            if value.strip() in seen:
                yield (*path, number, key), f"{value.strip()!r} is there twice"
            seen.add(value.strip())
