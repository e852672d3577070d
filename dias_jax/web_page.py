"""One HTML page that needs no other file: skeleton, common style, pictures inside."""

import base64
import html

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 1500px;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } p { max-width: 60rem; }
section { border-top: 1px solid #ddd; padding: 1rem 0; }
h2 { font-size: 1rem; margin: 0 0 .5rem; } h2 span { color: #777; font-weight: normal; }
figure { margin: 0; } figcaption { color: #777; }
"""


def web_page(title, facts, sections, style):
    """The page as a string; `facts`: lines of text, `sections`: HTML, `style`: CSS beyond STYLE."""
    parts = [f"<h1>{html.escape(title)}</h1>"]
    parts += [f"<p>{html.escape(fact)}</p>" for fact in facts]
    parts += [f"<section>{section}</section>" for section in sections]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}{style}</style><body>{''.join(parts)}</body></html>\n"
    )


def picture(data, kind, name):
    """An <img> with an encoded picture inside; `data`: its bytes, `kind`: "png" or "jpeg"."""
    name, data = html.escape(name), base64.b64encode(data).decode()
    return f'<img alt="{name}" title="{name}" src="data:image/{kind};base64,{data}">'
