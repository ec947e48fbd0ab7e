"""The pages that people read: Swagger UI, ReDoc, and what each problem code means."""

import html
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import cache
from pathlib import Path

import fastapi_offline
from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from common import openapi, problem

DOCS_PATH = "/api/docs"
REDOC_PATH = "/api/redoc"
OPENAPI_PATH = "/api/openapi.json"
_ASSETS_PATH = "/api/assets"
_ASSETS = Path(fastapi_offline.__file__).parent / "static"
_ICON = f"{_ASSETS_PATH}/favicon.png"

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; worker-src blob:; frame-ancestors 'none'"
)
"""The API's pages start themselves by a script in the page; nothing comes from elsewhere."""

_TEXT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

_PROBLEMS = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Problem codes</title>
<style>
  body {{ max-width: 42rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 sans-serif }}
  :target {{ background: #fff3bf }}
  dl {{ display: grid; grid-template-columns: 8rem 1fr; margin: 0 }}
  dd {{ margin: 0 }}
</style>
<h1>Problem codes</h1>
<p>Every refusal and failure is an <code>application/problem+json</code> document (RFC 9457).
Its <code>type</code> leads here, the meaning of its <code>code</code> never changes,
its <code>detail</code> says what to do, and its <code>traceId</code> is what to report.</p>
{sections}
</html>
"""

_SECTION = """\
<section id="{code}">
<h2><code>{code}</code></h2>
<p>{meaning}</p>
<dl><dt>Status</dt><dd>{statuses}</dd><dt>Retryable</dt><dd>{retryable}</dd></dl>
</section>"""


def add_pages(app: FastAPI) -> None:
    """Serve Swagger UI and ReDoc; the document is that of the application."""
    app.mount(_ASSETS_PATH, StaticFiles(directory=_ASSETS), name="assets")
    swagger = get_swagger_ui_html(
        openapi_url=OPENAPI_PATH,
        title=app.title,
        swagger_js_url=f"{_ASSETS_PATH}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS_PATH}/swagger-ui.css",
        swagger_favicon_url=_ICON,
    )
    redoc = get_redoc_html(
        openapi_url=OPENAPI_PATH,
        title=app.title,
        redoc_js_url=f"{_ASSETS_PATH}/redoc.standalone.js",
        redoc_favicon_url=_ICON,
        with_google_fonts=False,
    )
    for path, page in ((DOCS_PATH, swagger), (REDOC_PATH, redoc)):
        page.headers["Content-Security-Policy"] = _PAGE_POLICY
        app.add_api_route(path, _always(page), include_in_schema=False)


def add_problems(app: FastAPI, meanings: Mapping[str, str]) -> None:
    """Explain each code where the `type` of a problem leads to."""

    @cache
    def page() -> Response:
        # Not before it is asked for: a service adds routes until it runs.
        statuses = openapi.statuses(app.routes)
        sections = (
            _section(code, meanings[code], statuses.get(code, ())) for code in sorted(meanings)
        )
        return HTMLResponse(
            _PROBLEMS.format(sections="\n".join(sections)),
            headers={"Content-Security-Policy": _TEXT_POLICY},
        )

    @app.get(problem.PATH, include_in_schema=False)
    async def problems() -> Response:
        return page()


def _always(page: Response) -> Callable[[], Awaitable[Response]]:
    async def answer() -> Response:
        return page

    return answer


def _section(code: str, meaning: str, statuses: Collection[int]) -> str:
    sent_with = ", ".join(map(str, sorted(statuses))) or "as the route tells"
    again = "yes, as it is" if openapi.is_retryable(code, statuses) else "no, mend the cause first"
    return _SECTION.format(
        code=html.escape(code),
        meaning=html.escape(meaning),
        statuses=sent_with,
        retryable=again,
    )
