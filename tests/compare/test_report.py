"""A report is the same in Markdown and in HTML, and the page needs no other file."""

import base64
import html.parser
import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from dias_jax.compare.report import Section, Table, markdown, write_report
from dias_jax.errors import UserError

TITLE = "Ours & theirs"


def sections():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    tables = [Table(["a", "b"], [["1", "<2>"]], caption="first"), Table(["c"], [["3"]])]
    return [
        Section("One", "Said first.\n\nSaid next.", tables, [("a line", figure)]),
        Section("Two"),
    ]


class Page(html.parser.HTMLParser):
    """Collects text, pictures and whatever a page would fetch."""

    def __init__(self):
        super().__init__()
        self.text, self.tags, self.pictures, self.sources = "", [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.sources += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag == "img":
            data = attributes["src"].removeprefix("data:image/png;base64,")
            self.pictures.append(Image.open(io.BytesIO(base64.b64decode(data))))

    def handle_data(self, data):
        self.text += f"{data}\n"


def test_markdown_of_a_section():
    assert markdown(sections()[0], ["picture.png"]) == (
        "## One\n\nSaid first.\n\nSaid next.\n\n![a line](picture.png)\n\n"
        "first\n\n| a   | b   |\n|-----|-----|\n| 1   | <2> |\n\n| c   |\n|-----|\n| 3   |"
    )
    assert "picture" not in markdown(sections()[0])


def test_both_files_say_the_same(tmp_path):
    page_path, markdown_path = write_report(tmp_path / "new", TITLE, ["seed 0"], sections())
    text, page = markdown_path.read_text(), Page()
    page.feed(page_path.read_text())
    for words in (TITLE, "seed 0", "One", "Said next.", "first", "<2>", "a line", "Two"):
        assert words in text and words in page.text
    assert page.tags.count("table") == 2 and page.tags.count("p") == 3
    (linked,) = [line.split("(")[1].rstrip(")") for line in text.splitlines() if "![" in line]
    pictures = [np.asarray(Image.open(markdown_path.parent / linked)), np.asarray(page.pictures[0])]
    np.testing.assert_array_equal(*pictures)
    assert pictures[0].std() > 0


def test_the_page_needs_no_other_file(tmp_path):
    page_path, markdown_path = write_report(tmp_path, TITLE, [], sections())
    page = Page()
    page.feed(page_path.read_text())
    assert len(page.pictures) == 1
    assert all(source.startswith("data:") for source in page.sources)
    assert not {"link", "script", "iframe"} & set(page.tags)
    assert "url(" not in page_path.read_text() and "http" not in page_path.read_text()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        write_report(tmp_path / "file", TITLE, [], [])
