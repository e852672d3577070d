"""Tables as Markdown."""

from tabulate import tabulate


def markdown_table(header, rows):
    """A Markdown table of strings; a cell stands as it is given."""
    return tabulate(rows, header, tablefmt="github", disable_numparse=True)
