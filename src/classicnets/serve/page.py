"""The web pages of models, and a list of the models where there is no page."""

from __future__ import annotations

import html
from contextlib import AbstractContextManager
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from classicnets.errors import RequestError
from classicnets.language import html_language, preferred_language, texts_in
from classicnets.serve.models import Models, ServedModel
from classicnets.serve.reference import POLICY
from classicnets.text import _, listed

_INDEX, _MODELS = "index.html", "/models/"
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
PAGE_HEADERS = {"Content-Security-Policy": POLICY, "Vary": "Accept-Language"}  # of a page without scripts
_LIST = """<!DOCTYPE html>
<html lang="{lang}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>classicnets</title>
<style>body {{ font-family: system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }}</style>
<h1>classicnets</h1>
<ul>
{models}
</ul>
<p><a href="{root}health">{health}</a> <a href="{root}metrics">{metrics}</a>
<a href="{root}docs">{docs}</a></p>
</html>
"""


class Pages:
    """Serves the files of pages; only those that a page lists.

    Args:
        models: The models.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._static: dict[Path, StaticFiles] = {}

    async def file(self, request: Request) -> Response:
        """Return a file of the page of a model, or the list of models. Raises RequestError CN504."""
        path = request.scope["path"]
        if not path.startswith(_MODELS):
            return await self._file(request, self._models.first, path[1:], "")
        name, slash, file = path.removeprefix(_MODELS).partition("/")
        model = self._models.find(name)
        if not slash:  # the addresses on the page are relative
            return RedirectResponse(f"{model.name}/", 307)
        return await self._file(request, model, file, "../../")

    async def _file(self, request: Request, model: ServedModel, path: str, root: str) -> Response:
        site = model.opened.site
        if site is None and not path:
            with texts_of(request):
                return HTMLResponse(self._list(root), headers={**_HEADERS, **PAGE_HEADERS})
        folder, files = site or (Path(), frozenset())
        name = path or _INDEX
        if name not in files:
            raise no_such_path(request.scope["path"])
        static = self._static.setdefault(folder, StaticFiles(directory=folder, check_dir=False))
        try:
            response = await static.get_response(name, request.scope)
        except HTTPException as error:
            raise no_such_path(request.scope["path"]) from error
        response.headers.update(_HEADERS)
        return response

    def _list(self, root: str) -> str:
        """The list of models, with links to their pages."""
        lines = []
        for name, model in self._models.by_name.items():
            shown = html.escape(name)
            link = f'<a href="{root}models/{shown}/">{shown}</a>' if model.opened.site else shown
            lines.append(f"<li>{link}: {html.escape(listed(model.opened.classifier.classes[:20]))}</li>")
        names = {"health": _("health"), "metrics": _("metrics"), "docs": _("docs")}
        return _LIST.format(models="\n".join(lines), root=root, lang=html_language(), **names)


def texts_of(request: Request) -> AbstractContextManager[None]:
    """While open, texts are in the language of the address (?lang=zh), else of the browser, else of the server."""
    accepted = ",".join(request.headers.getlist("accept-language"))
    return texts_in(preferred_language(request.query_params.get("lang"), accepted))


def no_such_path(path: str) -> RequestError:
    """Return the error for a path that does not exist."""
    return RequestError(
        "CN504", _("there is no such path"), where=ascii(path[:200])[1:-1], hint=_("/docs lists the paths")
    )
