"""Pieces of HTML, and the page that they make.

Texts are escaped here, where they become HTML, unless an argument is called `body`.
"""

import base64
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from l2d_jax.plots import drawing

STYLE = """
:root{color-scheme:light dark;--text:#1c2126;--soft:#5b6570;--line:#dde1e6;
--page:#fff;--card:#f5f6f8;--link:#1d5fa8;--bad:#a61b14;--bad-page:#fdeceb;
--good:#176a33;--odd:#7d5200}
@media(prefers-color-scheme:dark){:root{--text:#e6e9ec;--soft:#a3adb8;--line:#343b43;
--page:#14181c;--card:#1d2329;--link:#8ab8f0;--bad:#ffb0a8;--bad-page:#3a1714;
--good:#7bd698;--odd:#efc46a}img{filter:brightness(.9)}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);overflow-wrap:anywhere;
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.25rem clamp(.9rem,3vw,2rem) 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:.4rem 0}
h2{font-size:1.25rem;margin:2.6rem 0 .3rem}h3{font-size:1rem;margin:1.4rem 0 .3rem}
p{max-width:46rem;margin:.4rem 0}.soft,small,figcaption,dt{color:var(--soft)}
a{color:var(--link)}nav a{display:inline-block;padding:.15rem .9rem .15rem 0}
.reading{font-size:1.1rem}
.alert{margin:1rem 0;padding:.7rem 1rem;background:var(--bad-page);color:var(--bad);
border:1px solid;border-left-width:.4rem;border-radius:.6rem}
.alert h2{margin:0 0 .2rem;font-size:1.1rem}.alert ul{margin:0;padding-left:1.2rem}
.alarm{color:var(--bad);font-weight:600}
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.45rem .9rem .45rem 0;
border-bottom:1px solid var(--line)}td small{display:block}
th p{font-weight:400;margin:.15rem 0 0}
.scores{width:100%;table-layout:fixed;margin-top:0}
.scores th:first-child{width:52%}
.chip{display:inline-block;font-size:.8rem;font-weight:600;padding:0 .5rem;
border:1px solid;border-radius:1rem;margin-left:.35rem;white-space:nowrap}
.good{color:var(--good)}.bad{color:var(--bad)}.odd{color:var(--odd)}
.none{color:var(--soft)}
details{margin:.8rem 0;border-top:1px solid var(--line)}
summary{cursor:pointer;padding:.6rem 0}summary h3{display:inline;margin-right:.5rem}
[id]{scroll-margin-top:4rem}
@media(max-width:40rem){.overview{width:100%}
.overview th,.overview td{padding-right:.4rem}.overview thead th{font-size:.8rem}
.overview thead{overflow-wrap:normal}
.overview .chip{display:block;width:fit-content;margin:.2rem 0}
.scores thead{display:none}.scores th:first-child{width:100%}
.scores th{grid-column:1/-1}.scores tr{display:grid;padding:.35rem 0;
grid-template-columns:repeat(3,1fr);border-bottom:1px solid var(--line)}
.scores th,.scores td{border:0;padding:.25rem .5rem .25rem 0}
.scores td::before{content:attr(data-of);display:block;font-size:.8rem;
color:var(--soft)}}
.grid{display:grid;gap:1rem;margin:1rem 0;
grid-template-columns:repeat(auto-fill,minmax(min(100%,25rem),1fr))}
figure{margin:0;padding:.6rem;background:var(--card);border-radius:.6rem}
img{display:block;width:100%;height:auto;background:#fff;border-radius:.35rem}
figcaption{margin:0 .1rem .4rem;font-size:.92rem}
.legend{display:grid;gap:.1rem .9rem;list-style:none;margin:.5rem 0;padding:0;
font-size:.92rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr))}
dl{display:grid;gap:.25rem 1.2rem;grid-template-columns:fit-content(38%) 1fr}
dd{margin:0}pre{background:var(--card);padding:.8rem;border-radius:.6rem;
white-space:pre-wrap}
@media print{main{max-width:none;padding:0}nav{display:none}
.grid{grid-template-columns:1fr 1fr}figure,tr,.alert{break-inside:avoid}
h2,h3,summary{break-after:avoid}
details::details-content{content-visibility:visible;height:auto}}
"""


def page(
    facts: Mapping[str, Any],
    sections: Mapping[str, tuple[str, str]],
    bodies: Mapping[str, str],
    *,
    alert: str = "",
) -> str:
    """The whole page: an alert on top, then what has a body, under its heading.

    sections: by id, the heading and how to read what is below it, as HTML.
    """
    title = escape(f"{shown(facts.get('data set', 'Series'))}: real and generated")
    variant = facts.get("variant")
    model = f"l2d_jax, variant {shown(variant)}" if variant else "l2d_jax"
    filled = {name: body for name, body in bodies.items() if body}
    links = "\n".join(f'<a href="#{name}">{name.capitalize()}</a>' for name in filled)
    text = "\n".join(
        f'<section id="{name}"><h2>{sections[name][0]}</h2>'
        f'<p class="soft">{sections[name][1]}</p>{body}</section>'
        for name, body in filled.items()
    )
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none';img-src data:;style-src 'unsafe-inline'">
<title>{title}</title><style>{STYLE}</style></head>
<body><main><h1>{title}</h1><p class="soft">{escape(model)}</p>
<nav aria-label="Sections">{links}</nav>{alert}
{text}
</main></body></html>
"""
    return text.encode(errors="backslashreplace").decode()  # of file names, not UTF-8


def figure(picture: drawing.Picture, caption: str) -> str:
    """A picture with its caption above it."""
    data = base64.b64encode(picture.png).decode("ascii")
    return (
        f"<figure><figcaption>{escape(caption)}</figcaption>"
        f'<img alt="{escape(picture.alt)}" src="data:image/png;base64,{data}"'
        f' width="{picture.width}" height="{picture.height}"></figure>'
    )


def grid(figures: Iterable[str]) -> str:
    """Figures side by side, as many as fit."""
    return f'<div class="grid">{"".join(figures)}</div>'


def note(text: str) -> str:
    """A paragraph that explains."""
    return f'<p class="soft">{escape(text)}</p>'


def shown(value: Any) -> str:
    """A fact as text."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def number(value: float) -> str:
    """Three digits, and up to a billion those before the point."""
    return f"{value:,.0f}" if 999.5 <= abs(value) < 1e9 else f"{value:.3g}"
