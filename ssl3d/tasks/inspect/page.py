"""What was found as one HTML page: pictures are in it, and nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ssl3d.geometry import show
from ssl3d.report.anatomy import PLANES
from ssl3d.tasks.inspect.facts import PERCENTILES, Facts
from ssl3d.tasks.inspect.found import Found
from ssl3d.tasks.inspect.tables import lists_of, numbers_of

MOST_PICTURES = 1000
"""Files with pictures, spread over the set: a page of 60 MB."""

LONG = 20
"""Lines from which a list is folded up."""

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em;
       color: #1c2733; background: #fff; }
h1 { font-size: 1.5em; } h2, summary { font-size: 1.15em; font-weight: bold; margin-top: 1.5em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
td, th { padding: .25em .7em; border-bottom: 1px solid #dde3e9; text-align: left;
         vertical-align: top; }
th { position: sticky; top: 0; background: #f3f6f9; }
td.name { max-width: 24em; overflow-wrap: anywhere; }
td.pictures { white-space: nowrap; background: #000; text-align: center; }
td.pictures img { vertical-align: middle; margin: 1px; }
tr.bad td { background: #fdecea; } tr.labels td { background: #fff6dd; }
pre { background: #f3f6f9; padding: 1em; overflow-x: auto; }
.note { color: #5a6875; }
"""

HEADS = ("file", "pictures", "voxels z y x", "mm z y x", "axes", "type", "size", "remarks")


def page(found: Found, *, suggestion: str, title: str) -> str:
    """HTML of a whole page.

    Args:
        found: what it is about.
        suggestion: a spec as YAML; empty for none.
        title: what was inspected.
    """
    numbers = _table((), [[name, text] for name, text in numbers_of(found)])
    lists = "".join(_list(f"{name} ({len(lines)})", lines) for name, lines in lists_of(found))
    spec = f"<h2>Suggested spec</h2><pre>{escape(suggestion)}</pre>" if suggestion else ""
    heads = [*HEADS, *(_level(share) for share in PERCENTILES)]
    step = -(-len(found.files) // MOST_PICTURES) or 1
    rows = "".join(_row(one, pictures=number % step == 0) for number, one in enumerate(found.files))
    fewer = f" Pictures of every {step}th file." if step > 1 else ""
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{numbers}{spec}{lists}<h2>Files</h2>"
        '<p class="note">Pictures: axial, coronal and sagittal through the middle, the patient\'s '
        "right on the left, the face to the left; grey is no data. Values are those of the file, "
        f"at percentiles of its finite voxels.{fewer}</p>"
        f"<table><tr>{head}</tr>{rows}</table></body></html>\n"
    )


def _row(one: Facts, *, pictures: bool) -> str:
    kind = "bad" if one.problem else "labels" if one.labels else ""
    remarks = [one.problem, one.labels, *one.notes]
    if one.non_finite:
        remarks.append(f"{one.non_finite:.2%} of its voxels are NaN or infinite")
    if one.not_measured:
        remarks.append(f"{one.not_measured:.1%} of its voxels were not measured")
    cells = [
        "" if one.shape is None else show(one.shape),
        "" if one.spacing is None else " × ".join(f"{step:.4g}" for step in one.spacing),
        one.orientation,
        " ".join(filter(None, (one.dtype, one.modality))),
        f"{one.bytes / 2**20:.3g} MiB",
        "; ".join(filter(None, remarks)),
        *(f"{level:.5g}" for level in one.percentiles),
    ]
    images = "".join(
        f'<img alt="{plane.name}" title="{plane.name}" src="data:image/png;base64,{picture}">'
        for plane, picture in zip(PLANES, one.pictures if pictures else (), strict=False)
    )
    filled = f'<td class="pictures">{images}</td>' if images else "<td></td>"
    rest = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr class="{kind}"><td class="name">{escape(one.path)}</td>{filled}{rest}</tr>'


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"] if head else []
    for row in rows:
        lines.append(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _list(title: str, lines: Sequence[str]) -> str:
    """A long one is folded up."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    folded = "" if len(lines) > LONG else " open"
    return f"<details{folded}><summary>{escape(title)}</summary><ul>{items}</ul></details>"


def _level(share: float) -> str:
    return {0.0: "least", 50.0: "median", 100.0: "most"}.get(share, f"{share:g} %")
