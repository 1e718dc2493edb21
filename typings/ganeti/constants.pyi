"""Ganeti makes its constants from Haskell when it is built; which there are is asked by name."""

from typing import Any

def __getattr__(name: str) -> Any: ...
