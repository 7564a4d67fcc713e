"""A plot of resident memory over connections, as an SVG that needs nothing to be drawn."""

from __future__ import annotations

from collections.abc import Sequence

#: Connections so far, and resident bytes then.
Sample = tuple[int, float]
_WIDTH, _HEIGHT, _MARGIN = 720, 320, 48
_MIB = 2**20


def slope(samples: Sequence[Sample]) -> float:
    """Return the bytes of growth for each connection: the line of least squares."""
    count = len(samples)
    mean_x = sum(x for x, _ in samples) / count
    mean_y = sum(y for _, y in samples) / count
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread


def draw(samples: Sequence[Sample], title: str) -> str:
    """Return the plot."""
    last = samples[-1][0]
    top = max(y for _, y in samples) * 1.1

    def at(sample: Sample) -> str:
        x = _MARGIN + (_WIDTH - 2 * _MARGIN) * sample[0] / last
        y = _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * sample[1] / top
        return f"{x:.1f},{y:.1f}"

    box = f"0 0 {_WIDTH} {_HEIGHT}"
    font = 'font-family="sans-serif" font-size="12"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" {font}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_MARGIN}" y="24" font-size="14">{title}</text>',
    ]
    for part in range(5):
        value = top * part / 4
        start, end = at((0, value)), at((last, value))
        (x1, y1), (x2, y2) = start.split(","), end.split(",")
        lines.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#ddd"/>')
        lines.append(f'<text x="4" y="{y1}">{value / _MIB:.0f} MiB</text>')
        count = last * part // 4
        x, _ = at((count, 0)).split(",")
        lines.append(f'<text x="{x}" y="{_HEIGHT - 24}">{count:,}</text>')
    points = " ".join(map(at, samples))
    lines.append(f'<polyline points="{points}" fill="none" stroke="#0a58ca" stroke-width="1.5"/>')
    return "\n".join([*lines, "</svg>", ""])


def settled(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Return the second half, after every cache and pool has filled."""
    return samples[len(samples) // 2 :]
