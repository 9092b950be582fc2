"""Addresses of servers: HOST:PORT for gRPC, a URL for REST."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse

from tgan_tf.errors import Argument, InputError


def is_of_rest(address: str) -> bool:
    """Whether an address is for REST rather than gRPC."""
    return "://" in address


def is_here(address: str) -> bool:
    """Whether an address is on this machine; does not resolve its name."""
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
        # In a host only an IPv6 zone has a percent sign.
        valid = valid and ("%" not in host or ":" in host)
        if url.scheme:
            valid = valid and url.scheme in ("http", "https") and url.port != 0
        else:
            valid = valid and bool(url.port) and not url.path
        # Raises a ValueError for a name that cannot be looked up.
        host.encode("idna")
    except ValueError:
        valid = False
    if not valid:
        raise InputError(
            Argument("address", address),
            ": must be HOST:PORT for gRPC, such as localhost:8500, or http://HOST:PORT for REST, "
            "such as http://localhost:8501",
        )


def _split(address: str) -> urllib.parse.SplitResult:
    return urllib.parse.urlsplit(address if is_of_rest(address) else f"//{address}")
