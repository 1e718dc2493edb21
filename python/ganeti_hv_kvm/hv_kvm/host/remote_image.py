"""CD-ROM images on web servers: is the image there, before QEMU is started with it?

Python's web client takes half as long to import as all of this package, and few guests start from
a web server: it is imported when one does.
"""

from __future__ import annotations

from collections.abc import Mapping

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text_or_none

DEFAULT_TIMEOUT = 10.0
"""Seconds to wait for a web server at each step of the request."""

_PARAMETERS = (constants.HV_CDROM_IMAGE_PATH, constants.HV_KVM_CDROM2_IMAGE_PATH)


def why_unreachable(url: str, timeout: float = DEFAULT_TIMEOUT) -> str | None:
    """Asks the server for the image's headers: None if they came, else the reason."""
    import http.client
    import urllib.request

    from .head_request import HeadRequest

    try:
        with urllib.request.urlopen(HeadRequest(url), timeout=timeout):
            return None
    except (OSError, http.client.HTTPException, ValueError) as err:
        return str(err) or type(err).__name__


def is_reachable(url: str, timeout: float = DEFAULT_TIMEOUT) -> bool:
    """Whether the server has the image."""
    return why_unreachable(url, timeout) is None


def check(hvp: Mapping[str, object], timeout: float = DEFAULT_TIMEOUT) -> None:
    """Raises HypervisorError if a CD-ROM's image is a URL that cannot be reached.

    QEMU itself would wait for the server for minutes, or start without the disc.
    """
    for parameter in _PARAMETERS:
        image = text_or_none(hvp, parameter)
        reason = why_unreachable(image, timeout) if image and utils.IsUrl(image) else None
        if reason:
            raise errors.HypervisorError(f"{parameter}={image} cannot be reached: {reason}")
