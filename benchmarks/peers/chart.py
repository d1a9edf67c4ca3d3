"""People a second as bars: a small SVG, written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

LEFT, WIDTH, BAR, GAP = 240, 420, 14, 12
COLOURS = ("#2f6f9f", "#d9822b", "#6b8e4e", "#8c5a9e")


def svg(rows: Sequence[tuple[str, dict[int, float]]], caption: str) -> str:
    """Draw one group of bars a row: name, and people a second by milliseconds of delay."""
    delays = sorted({delay for _, values in rows for delay in values})
    most = max(value for _, values in rows for value in values.values())
    group = BAR * len(delays) + GAP
    height = 50 + group * len(rows) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 80}" height="{height}"'
        ' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for number, delay in enumerate(delays):
        x = LEFT + number * 150
        parts.append(f'<rect x="{x}" y="12" width="12" height="12" fill="{COLOURS[number % len(COLOURS)]}"/>')
        parts.append(f'<text x="{x + 18}" y="22">answers after {delay} ms</text>')
    for row, (name, values) in enumerate(rows):
        top = 40 + row * group
        parts.append(f'<text x="{LEFT - 8}" y="{top + group / 2}" text-anchor="end">{escape(name)}</text>')
        for number, delay in enumerate(delays):
            if delay in values:
                long, y = WIDTH * values[delay] / most, top + number * BAR
                colour = COLOURS[number % len(COLOURS)]
                parts.append(f'<rect x="{LEFT}" y="{y}" width="{long:.1f}" height="{BAR - 2}" fill="{colour}"/>')
                parts.append(f'<text x="{LEFT + long + 5:.1f}" y="{y + 10}" font-size="10">{values[delay]:.0f}</text>')
    parts.append(f'<text x="12" y="{height - 10}" font-size="11" fill="#555">{escape(caption)}</text></svg>')
    return "\n".join(parts) + "\n"
