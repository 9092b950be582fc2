"""Where a server is: HOST:PORT for gRPC, a URL for REST."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse

from tgan_tf.errors import Argument, InputError


def is_of_rest(address: str) -> bool:
    """Whether an address is one of REST, not of gRPC."""
    return "://" in address


def is_here(address: str) -> bool:
    """Whether an address is on this machine, without asking for its name."""
    host = _split(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(address: str) -> None:
    """Checks the form of an address.

    Raises:
        InputError: it is neither HOST:PORT nor a URL of http or https.
    """
    try:
        url = _split(address)
        host = url.hostname or ""
        valid = bool(host) and address.isprintable() and not re.search(r"[\s?#@]", address)
        # Only a zone of IPv6 has one in a host.
        valid = valid and ("%" not in host or ":" in host)
        if url.scheme:
            valid = valid and url.scheme in ("http", "https") and url.port != 0
        else:
            valid = valid and bool(url.port) and not url.path
        # Raises a ValueError of a name that cannot be looked up.
        host.encode("idna")
    except ValueError:
        valid = False
    if not valid:
        raise InputError(
            Argument("address", address),
            ": must be HOST:PORT for gRPC, as localhost:8500, or http://HOST:PORT for REST, as "
            "http://localhost:8501",
        )


def _split(address: str) -> urllib.parse.SplitResult:
    return urllib.parse.urlsplit(address if is_of_rest(address) else f"//{address}")
