"""What several commands take on their command lines."""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit


def admin_url(text: str) -> str:
    """Address of a sidecar's admin port, with or without its scheme. Raises ArgumentTypeError."""
    address = text if "://" in text else f"http://{text}"
    try:
        url = urlsplit(address)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # such as a port beyond 65535
        usable = False
    if not usable:
        raise argparse.ArgumentTypeError("must be http://HOST:PORT, https://HOST:PORT or HOST:PORT")
    return address.rstrip("/")
