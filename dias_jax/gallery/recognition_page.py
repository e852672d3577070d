"""A probe's right and wrong things as one HTML page that needs no other file."""

import io

import numpy as np
from markupsafe import Markup
from PIL import Image

from dias_jax.pictures.outlines import box_line, draw_line, mask_line
from dias_jax.pictures.page import ENVIRONMENT, picture, web_page

SIDE = 288  # pixels, the longer side of a view
DIMMED = 0.55  # how much light is left outside of the slot's mask
MASK, BOX, GUESS = (255, 214, 10), (255, 255, 255), (0, 220, 255)  # colours of the lines
STYLE = f"""
.cases {{ display: flex; flex-wrap: wrap; gap: 16px; }}
.cases figure {{ width: min(256px, 90vw); }}
.cases img {{ width: 100%; height: auto; border-radius: 4px; display: block; }}
.cases figcaption {{ font-size: 13px; line-height: 1.4; padding-top: 3px; }}
.wrong b {{ color: #b3261e; }} .right b {{ color: #1b7a3d; }}
.legend i {{ display: inline-block; width: 22px; height: 0; vertical-align: middle;
  margin: 0 5px 3px 14px; border-top: 4px solid; outline: 1px solid #555; }}
.mask {{ border-color: rgb{MASK} !important; }} .box {{ border-color: rgb{BOX} !important; }}
.guess {{ border-top-style: dashed !important; border-color: rgb{GUESS} !important;
  outline: none !important; }}
.numbers {{ display: flex; flex-wrap: wrap; gap: 32px; align-items: flex-start; }}
.numbers img {{ max-width: min(760px, 100%); height: auto; }}
.classes {{ max-height: 760px; overflow: auto; font-size: 13px; border: 1px solid #ddd; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 2px 10px; text-align: right; white-space: nowrap; }}
th {{ position: sticky; top: 0; background: #f4f4f4; }}
th:first-child, td:first-child {{ text-align: left; }}
.share {{ min-width: 60px; }}
tr:nth-child(2) {{ font-weight: 600; }}
"""
LEGEND = (
    '<p class="legend">Lines: <i class="mask"></i>mask of the slot, outside of it the view is '
    'darker <i class="box"></i>box of the thing <i class="guess"></i>box that was read off the '
    "slot</p>"
)
CASES = ENVIRONMENT.from_string(
    """<h2>{{ title }} <span>{{ remark }}</span></h2><div class="cases">
{% for case, view in cases %}<figure class="{{ kind }}">{{ view }}<figcaption>
<b>{{ case.predicted_name }}</b> ({{ "%.0f" | format(100 * case.predicted_share) }} %)
{%- if kind == "wrong" %}, true: {{ case.name }} ({{ "%.0f" | format(100 * case.share) }} %)
{%- endif %}<br>IoU: mask {{ "%.2f" | format(case.mask_iou) }}, box
{{ "%.2f" | format(case.box_iou) }}; image {{ case.sample }}</figcaption></figure>
{% else %}<p>There are none.</p>{% endfor %}</div>"""
)
NUMBERS = ENVIRONMENT.from_string(
    """{% macro bar(value) %}{% if value is none %}<td>–</td>{% else %}
{% set text = "%.1f" | format(value) %}<td class="share"
style="background:linear-gradient(90deg,#dbe9f8 {{ text }}%,transparent 0)">{{ text }}</td>
{%- endif %}{% endmacro %}
<h2>Classes <span>by number of things; shares in percent</span></h2><div class="numbers">
<div class="classes"><table><tr><th>class<th>things<th>found<th>pairs<th>top-1<th>AP 50</tr>
{% for score in scores %}<tr><td>{{ score.name }}<td>{{ "{:,}".format(score.things) }}
{{- bar(score.found) }}<td>{{ "{:,}".format(score.pairs) }}</td>{{ bar(score.top1) }}
{{- bar(score.precision) }}</tr>{% endfor %}</table></div>{{ confusion }}</div>"""
)
INTRODUCTION = """A thing is found where the masks of it and of its slot have an IoU above 0.5.
Pairs are those of a thing and its slot that the probe is asked about; top-1 is the share of them
whose class is right. AP 50 is the average precision of slots as detections at an IoU of 0.5. The
table of confusions has a line for each true class, in percent of its pairs; "others" are all
classes that are not shown, also where they are taken for one another."""


def write_recognition_page(path, title, facts, scores, figure, wrong, right):
    """Write one .html file.

    facts: lines of text under the title; scores: list of ClassScores; figure: the confusions, of
    matplotlib; wrong, right: lists of Cases.
    """
    sections = [
        LEGEND + case_section("wrong", "Wrong", "the surest first", wrong),
        case_section("right", "Right", "evenly spread, from the surest to the least sure", right),
        number_section(scores, figure),
    ]
    page = web_page(title, [*facts, INTRODUCTION], sections, STYLE)
    path.write_text(page, encoding="utf-8")


def case_section(kind, title, remark, cases):
    """Things side by side; kind: "wrong" or "right"."""
    views = [(case, Markup(view_tag(case))) for case in cases]
    return CASES.render(kind=kind, title=title, remark=remark, cases=views)


def number_section(scores, figure):
    """The table of classes and the picture of confusions."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    confusion = Markup(picture(stream.getvalue(), "png", "confusions"))
    return NUMBERS.render(scores=scores, confusion=confusion)


def view_tag(case):
    """An <img> with the view of a Case inside."""
    stream = io.BytesIO()
    Image.fromarray(draw_case(case)).save(stream, "JPEG", quality=88)
    return picture(stream.getvalue(), "jpeg", f"{case.predicted_name}, true: {case.name}")


def draw_case(case):
    """The whole view with the slot's mask and both boxes: Case -> (H, W, 3) uint8."""
    image = Image.fromarray(case.image)
    scale = SIDE / max(image.size)
    size = tuple(round(scale * side) for side in image.size)
    view = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    mask = np.asarray(Image.fromarray(case.mask).resize(size, Image.Resampling.NEAREST))
    view = np.where(mask[..., None], view, (DIMMED * view).astype(np.uint8))
    view = draw_line(view, mask_line(mask), MASK)
    view = draw_line(view, box_line(mask.shape, case.box), BOX)
    return draw_line(view, box_line(mask.shape, case.predicted_box, is_dashed=True), GUESS)
