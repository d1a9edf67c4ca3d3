"""Small tenants beside a large one, each a line from its first person to its end: a small SVG, written by hand."""

from __future__ import annotations

from html import escape
from typing import Any

LEFT, WIDTH, LINE, TOP = 150, 640, 4, 50
SMALL, WAITS, LARGE = "#2f6f9f", "#c9d6df", "#d9822b"


def svg(found: dict[str, Any]) -> str:
    """Draw what ``benchmarks.fairness.large`` gives: grey while a tenant waits, blue while it works."""
    lanes = sorted(found["lanes"], key=lambda lane: (lane["first_write"], lane["end"]))
    last = max(found["seconds"], *(lane["end"] for lane in lanes))
    height = TOP + LINE * len(lanes) + 70

    def x(second: float) -> float:
        return round(LEFT + WIDTH * second / last, 1)

    caption = (
        f"{found['small_tenants']} tenants of {found['people_each']} rows beside one of"
        f" {found['rows_of_the_large_one']:,}: waiting (grey), from the first person to the end (blue)"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}" height="{height}"'
        ' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="22">{escape(caption)}</text>',
        f'<text x="{LEFT - 8}" y="{TOP + LINE * len(lanes) / 2}" text-anchor="end">small tenants</text>',
    ]
    for number, lane in enumerate(lanes):
        y = TOP + LINE * number
        begun, end = x(lane["first_write"]), x(lane["end"])
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{begun - LEFT:.1f}" height="{LINE - 1}" fill="{WAITS}"/>')
        parts.append(f'<rect x="{begun}" y="{y}" width="{end - begun:.1f}" height="{LINE - 1}" fill="{SMALL}"/>')
    y = TOP + LINE * len(lanes) + 8
    parts.append(f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">the large one</text>')
    parts += [f'<rect x="{x(at)}" y="{y}" width="1" height="14" fill="{LARGE}"/>' for at in found["large"]]
    done = f"{found['large_done_by_then']:,} of {found['rows_of_the_large_one']:,} people"
    parts.append(f'<text x="{LEFT}" y="{y + 28}" fill="#555" font-size="11">{done}</text>')
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if last / step <= 10)
    for second in range(0, int(last) + 1, step):
        parts.append(f'<text x="{x(second)}" y="{height - 14}" text-anchor="middle" fill="#555">{second} s</text>')
        parts.append(f'<rect x="{x(second)}" y="{TOP - 6}" width="0.5" height="{height - TOP - 24}" fill="#ccc"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
