"""HTTP clients as people's networks are: proxies from the environment, and none to this very machine."""

from __future__ import annotations

import ipaddress
import os
from typing import Any
from urllib.request import proxy_bypass

import httpx

PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")


def client(url: str, **options: Any) -> httpx.Client:
    """A client for requests to `url`; `ValueError` where the environment asks for a proxy that cannot be used."""
    try:
        host = httpx.URL(url).host
        return httpx.Client(trust_env=not (is_here(host) or proxy_bypass(host)), **options)
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        if not (asked := proxies()):
            raise
        socks = "; a SOCKS proxy needs pip install 'httpx[socks]'" if isinstance(error, ImportError) else ""
        raise ValueError(
            f"{url} cannot be asked through the proxy that {' or '.join(asked)} names{socks}; "
            f"correct it, or put {httpx.URL(url).host} into NO_PROXY to do without"
        ) from None


def proxies() -> list[str]:
    """Variables of the environment that ask for a proxy."""
    return [name for one in PROXIES for name in (one, one.lower()) if os.environ.get(name)]


def is_here(host: str) -> bool:
    """Whether a host is this machine, which no proxy is asked for."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified
