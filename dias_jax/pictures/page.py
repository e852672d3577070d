"""One HTML page that needs no other file: skeleton, common style, pictures inside."""

import base64

import jinja2
from markupsafe import Markup

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 1500px;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } p { max-width: 60rem; }
section { border-top: 1px solid #ddd; padding: 1rem 0; }
h2 { font-size: 1rem; margin: 0 0 .5rem; } h2 span { color: #777; font-weight: normal; }
figure { margin: 0; } figcaption { color: #777; }
"""
ENVIRONMENT = jinja2.Environment(autoescape=True)
PAGE = ENVIRONMENT.from_string(
    """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{{ title }}</title>
<style>{{ style }}</style><body><h1>{{ title }}</h1>
{% for fact in facts %}<p>{{ fact }}</p>{% endfor %}
{% for section in sections %}<section>{{ section }}</section>{% endfor %}
</body></html>
"""
)
PICTURE = ENVIRONMENT.from_string(
    '<img alt="{{ name }}" title="{{ name }}" src="data:image/{{ kind }};base64,{{ data }}">'
)


def web_page(title, facts, sections, style):
    """The page as a string; `facts`: lines of text, `sections`: HTML, `style`: CSS beyond STYLE."""
    return PAGE.render(
        title=title,
        facts=facts,
        sections=[Markup(section) for section in sections],
        style=Markup(STYLE + style),
    )


def picture(data, kind, name):
    """An <img> with an encoded picture inside; `data`: its bytes, `kind`: "png" or "jpeg"."""
    return PICTURE.render(name=name, kind=kind, data=base64.b64encode(data).decode())
