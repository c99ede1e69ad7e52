"""The report as one HTML file, with the day as a picture; no scripts, and nothing is loaded from elsewhere. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import escape

from backend.contract.day import Doing, MarkKind
from codetainer_tui.report.content import LINK, Report, Section, Timeline
from codetainer_tui.words import clock, grouped, harmless, lasting, moment

WIDTH, LEFT = 960, 74  # of the picture, and of its labels
ACTIVITY, BARS, MARKS, HEIGHT = 8, 46, 108, 202  # where the rows begin, in the picture's units
LANE = 12  # height of a lane of marks
HOUR = 3600
STEPS = (HOUR // 12, HOUR // 4, HOUR // 2, HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR, 12 * HOUR)
MAX_TICKS = 12
LANES = {  # the marks by lane
    "grants": (MarkKind.GRANT, MarkKind.SEEN),
    "freezes": (MarkKind.FREEZE,),
    "limits": (MarkKind.LIMIT, MarkKind.BUDGET),
    "pushes": (MarkKind.WRITE,),
    "saves": (MarkKind.SAVE,),
    "faults": (MarkKind.PROTECTION, MarkKind.FAULT, MarkKind.BOOT, MarkKind.STOP),
}

STYLE = """
:root { color-scheme: light dark; --text: #1a1d21; --dim: #5c636b; --line: #d4d8dd; --page: #fff; --bad: #b3261e;
  --working: #2f7d4f; --waiting: #c77700; --idle: #9aa3ad; --limited: #8e44ad; --failing: #c2185b; --stuck: #795548;
  --frozen: #2874a6; --closed: #b3261e;
  --starting: #c9ced4; --ended: #6d7681; --unknown: #b7bdc4; --stopped: #6d7681; --policy: #7d8790; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7ea; --dim: #9aa3ad; --line: #3a4047; --page: #16191d; --bad: #ff6b60;
  --working: #58b47d; --waiting: #e8a33d; --idle: #5f6870; --limited: #b07cc6; --failing: #f06292; --stuck: #a1887f;
  --frozen: #5aa5d6; --closed: #ff6b60;
  --starting: #4a5158; --ended: #858e97; --unknown: #4f565d; --stopped: #858e97; --policy: #8f99a3; } }
@media print { :root { color-scheme: light; --text: #000; --dim: #444; --line: #bbb; --page: #fff; }
  section { break-inside: avoid; } svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; }
p { margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere; } .dim { color: var(--dim); } .need { color: var(--bad); }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin-top: .4rem; font-size: .9rem; }
th, td { text-align: left; padding: .15rem .9rem .15rem 0; vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--dim); font-weight: normal; border-bottom: 1px solid var(--line); } svg { width: 100%; height: auto; }
svg text { font-size: 11px; fill: var(--dim); } .tick { stroke: var(--line); } .serious, .bad { fill: var(--bad); }
.policy { fill: var(--policy); } .mark { fill: var(--text); } ul { padding: 0; margin: .2rem 0; list-style: none; display: flex;
  flex-wrap: wrap; gap: .2rem 1rem; font-size: .85rem; color: var(--dim); } li i { display: inline-block; width: .8rem;
  height: .8rem; margin-right: .35rem; vertical-align: -.1rem; }
"""


def page(report: Report) -> str:
    """Returns the HTML document."""
    needs = "".join(f'<p class="need">{escape(need)}</p>\n' for need in report.needs) or "<p>Nothing needs you.</p>\n"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>{STYLE}{_colours()}</style>\n</head>\n<body>\n"
        f'<h1>{escape(report.title)}</h1>\n<p class="dim">{escape(report.period)}</p>\n'
        f"<p><b>{escape(report.headline)}</b></p>\n{needs}"
        f"{picture(report.timeline)}\n{_legend(report)}\n{''.join(map(_section, report.sections))}"
        f'<p class="dim">Written {moment(report.made_at)} by codetainer.</p>\n'
        "</body>\n</html>\n"
    )


def _name(doing: Doing) -> str:
    return doing.name.lower()


def _colours() -> str:
    return "".join(
        f".{_name(doing)} {{ fill: var(--{_name(doing)}); background: var(--{_name(doing)}); }}\n" for doing in Doing
    )


def _legend(report: Report) -> str:
    used = [doing for doing in Doing if doing in report.seconds]
    items = "".join(f'<li><i class="{_name(doing)}"></i>{doing} {lasting(report.seconds[doing])}</li>' for doing in used)
    return f"<ul>{items}</ul>"


def _section(section: Section) -> str:
    lines = "".join(f"<p>{escape(line)}</p>\n" for line in section.lines)
    table = ""
    if section.rows:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in section.head)
        rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in section.rows)
        table = f'<div class="wide"><table>\n<tr>{head}</tr>\n{rows}</table></div>\n'
    return f"<section>\n<h2>{escape(section.title)}</h2>\n{lines}{table}</section>\n"


def _cell(text: str) -> str:
    shown = f'<a href="{text}">{text}</a>' if re.fullmatch(LINK, text) else escape(text)
    return f"<td>{shown}</td>"


def picture(line: Timeline) -> str:
    """The day as an SVG: activity, refusals and marks along one axis of time."""
    parts = [*_axis(line), *_activity(line), *_bars(line), *_marks(line)]
    about = f"Activity, refusals and events from {clock(line.since)} to {clock(line.until)}"
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{about}">\n' + "\n".join(parts) + "\n</svg>"


def _x(line: Timeline, at: float) -> float:
    whole = max(line.until - line.since, 1.0)
    return LEFT + (WIDTH - LEFT - 8) * min(max((at - line.since) / whole, 0.0), 1.0)


def _label(y: float, text: str) -> str:
    return f'<text x="0" y="{y:.0f}">{text}</text>'


def _axis(line: Timeline) -> Iterator[str]:
    step = next((step for step in STEPS if (line.until - line.since) / step <= MAX_TICKS), STEPS[-1])
    offset = time.localtime(line.since).tm_gmtoff  # so that ticks fall on whole hours of local time
    at = ((line.since + offset) // step + 1) * step - offset
    while at < line.until:
        x = _x(line, at)
        yield f'<line class="tick" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{HEIGHT - 16}"/>'
        yield f'<text x="{x:.1f}" y="{HEIGHT - 3}" text-anchor="middle">{clock(at)}</text>'
        at += step


def _activity(line: Timeline) -> Iterator[str]:
    yield _label(ACTIVITY + 18, "activity")
    for begin, end, doing in line.spans:
        x, right = _x(line, begin), _x(line, end)
        title = f"{doing}, {clock(begin)} to {clock(end)} ({lasting(end - begin)})"
        yield (
            f'<rect class="{_name(doing)}" x="{x:.1f}" y="{ACTIVITY}" width="{max(right - x, 0.6):.1f}" height="28">'
            f"<title>{title}</title></rect>"
        )


def _bars(line: Timeline) -> Iterator[str]:
    """The refusals of each bucket as a bar whose height shows the number on a scale of roots, so that few stay visible."""
    yield _label(BARS + 42, "refused")
    highest = max((policy + serious for _, policy, serious in line.refused), default=0)
    for at, policy, serious in line.refused:
        x, right = _x(line, at), _x(line, at + line.bucket_seconds)
        tall = 48 * ((policy + serious) / highest) ** 0.5
        grave = tall * serious / (policy + serious)
        bottom = BARS + 52
        title = f"<title>{clock(at)}: {grouped(policy + serious)} refused, {grouped(serious)} serious</title>"
        for kind, top, height in (("policy", bottom - tall, tall - grave), ("serious", bottom - grave, grave)):
            if height > 0:
                yield (
                    f'<rect class="{kind}" x="{x:.1f}" y="{top:.1f}" width="{max(right - x - 1, 1):.1f}" height="{height:.1f}">'
                    f"{title}</rect>"
                )


def _marks(line: Timeline) -> Iterator[str]:
    for number, (lane, kinds) in enumerate(LANES.items()):
        y = MARKS + LANE * number
        yield _label(y + 9, lane)
        for mark in line.marks:
            if mark.kind in kinds:
                by = f" by {mark.by}" if mark.by else ""
                title = escape(harmless(f"{clock(mark.at)} {mark.text}{by}", 300))
                dot = f'class="{"bad" if mark.bad else "mark"}" cx="{_x(line, mark.at):.1f}" cy="{y + 5}" r="3.5"'
                yield f"<circle {dot}><title>{title}</title></circle>"
