"""A report of tables and plots: sections in, Markdown and one HTML page out."""

import dataclasses
import html
import io
import pathlib
from collections.abc import Sequence

from matplotlib.figure import Figure

from dias_jax.errors import UserError
from dias_jax.pictures.page import picture, web_page
from dias_jax.pictures.tables import markdown_table

PICTURES = "report_files"  # folder beside report.md
DOTS_PER_INCH = 110
STYLE = """
body { max-width: 1200px; } body > p { margin: .1rem 0; color: #777; }
h1 { margin-bottom: .6rem; } h2 { font-size: 1.25rem; }
table { border-collapse: collapse; margin: .3rem 0 1.2rem; font-size: 13px; }
caption { text-align: left; color: #777; padding-bottom: .3rem; }
th, td { border-bottom: 1px solid #ddd; padding: .15rem .9rem .15rem 0; text-align: left; }
th { vertical-align: bottom; } td { font-variant-numeric: tabular-nums; }
figure { margin: .5rem 0 1.5rem; } figure img { max-width: 100%; }
"""


@dataclasses.dataclass(frozen=True)
class Table:
    """Strings in rows of the header's length."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """One part of a report; paragraphs of `text` are parted by an empty line."""

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    figures: Sequence[tuple[str, Figure]] = ()  # caption, figure


def write_report(directory, title, facts, sections):
    """Write report.md, with its pictures in a folder beside it, and report.html, all in one file.

    `facts`: lines of text under the title. -> the two paths. Raises UserError where they cannot
    be written.
    """
    directory = pathlib.Path(directory)
    pictures = [[draw(figure) for _, figure in section.figures] for section in sections]
    texts = ["\n".join([f"# {title}", "", *(f"- {fact}" for fact in facts)])]
    paths = directory / "report.html", directory / "report.md"
    try:
        (directory / PICTURES).mkdir(parents=True, exist_ok=True)
        for section, encoded in zip(sections, pictures):
            names = [f"{PICTURES}/{file_name(section, n)}" for n in range(1, 1 + len(encoded))]
            for name, data in zip(names, encoded):
                (directory / name).write_bytes(data)
            texts.append(markdown(section, names))
        blocks = [section_html(*pair) for pair in zip(sections, pictures)]
        paths[0].write_text(web_page(title, facts, blocks, STYLE), encoding="utf-8")
        paths[1].write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"the report cannot be written: {error}") from error
    return paths


def draw(figure):
    """A figure as the bytes of a PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS_PER_INCH)
    return stream.getvalue()


def file_name(section, number):
    """Of a section's picture."""
    return f"{section.title.lower().replace(' ', '_')}_{number}.png"


def markdown(section, picture_names=()):
    """A section as Markdown, with links to its pictures where they have names."""
    blocks = [f"## {section.title}", section.text]
    blocks += [
        f"![{caption}]({name})" for (caption, _), name in zip(section.figures, picture_names)
    ]
    for table in section.tables:
        blocks += [table.caption, markdown_table(table.header, table.rows)]
    return "\n\n".join(block for block in blocks if block)


def section_html(section, pictures):
    """A section as HTML with its pictures, bytes of PNG, inside."""
    parts = [f"<h2>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{html.escape(text)}</p>" for text in section.text.split("\n\n") if text]
    for (caption, _), data in zip(section.figures, pictures):
        label = f"<figcaption>{html.escape(caption)}</figcaption>"
        parts.append(f"<figure>{picture(data, 'png', caption)}{label}</figure>")
    return "".join(parts + [table_html(table) for table in section.tables])


def table_html(table):
    """A table as HTML."""
    caption = f"<caption>{html.escape(table.caption)}</caption>" if table.caption else ""
    rows = [row_html("th", table.header), *(row_html("td", row) for row in table.rows)]
    return f"<table>{caption}{''.join(rows)}</table>"


def row_html(tag, cells):
    """One row of `th` or `td`."""
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"
