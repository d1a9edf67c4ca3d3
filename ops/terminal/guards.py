"""What a guard counted, in words: ``5 of 41 = 12 %, limit 3 or 10 %``."""

from __future__ import annotations

from models.hold import Guard, Measure
from ops.language import Language, say


def arithmetic(guard: str, measure: Measure, language: Language) -> str:
    """The numbers of a guard as a sentence; what an older release did not keep is left out."""
    base = measure.get("base", 0)
    if guard == Guard.SHORT_SNAPSHOT:
        code = "guard.short" if base else "guard.short_unknown"
        return say(code, language, rows=measure.get("rows", 0), base=base, percent=_share(measure.get("rows", 0), base))
    numbers = {
        "lines": measure.get("count", 0),
        "before": measure.get("before", 0),
        "moving": measure.get("moving", 0),
        "base": base,
        "percent": _share(measure.get("count", 0) + measure.get("before", 0), base),
    }
    counted = "window" if guard == Guard.REMOVALS_WINDOW else "counted" if base else "first"
    told = say(f"guard.{counted}", language, **numbers)
    if measure.get("moving"):
        told = f"{told} {say('guard.moving', language, **numbers)}"
    return f"{told}, {_limit(guard, measure, language)}"


def _limit(guard: str, measure: Measure, language: Language) -> str:
    if guard == Guard.EVENT_EMPTIED:
        return say("guard.always", language)
    if "limit_count" not in measure:
        return say("guard.limit", language, limit=_plain(measure.get("limit", 0)))
    most, percent = _plain(measure["limit_count"]), _plain(measure["limit_percent"])
    return say("guard.limits", language, most=most, percent=percent)


def _share(count: int, base: int) -> str:
    return _plain(round(100 * count / base)) if base else "0"


def _plain(number: float) -> str:
    return f"{number:g}"
