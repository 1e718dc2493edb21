"""Ganeti's name for a request for a web document's headers; urllib is loaded only with it."""

from __future__ import annotations

import urllib.request


class HeadRequest(urllib.request.Request):
    """Asks for a document's headers alone."""

    def get_method(self) -> str:
        """The HTTP method."""
        return "HEAD"
