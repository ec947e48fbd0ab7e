"""Where webhooks may go: addresses that the whole Internet can reach, and no others."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from urllib.parse import urlsplit

_LONGEST = 2048
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_SPECIAL = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
"""Protocols' own and 6to4's relays: Python 3.11 takes part of them for ordinary."""
_LOCAL_NAMES = ("localhost", ".localhost", ".local", ".internal", ".home.arpa")
_VISIBLE = range(0x21, 0x7F)


def is_public(address: str) -> bool:
    """Tell whether an address is one of the open Internet, in whatever form it hides another."""
    ip = ip_address(address)
    if isinstance(ip, IPv4Address):
        special = ip.is_multicast or any(ip in network for network in _SPECIAL)
        return ip.is_global and not special
    if ip.ipv4_mapped is not None:
        return is_public(str(ip.ipv4_mapped))
    # 6to4 carries an IPv4 address, and a gateway would take us to it; NAT64 is outside 2000::/3
    return ip in _GLOBAL_UNICAST and ip.is_global and ip.sixtofour is None and ip.teredo is None


def objection(url: str, *, private_allowed: bool) -> str | None:
    """Say what is wrong with an endpoint's URL; where its name leads is looked up at each call."""
    if len(url) > _LONGEST or any(ord(character) not in _VISIBLE for character in url):
        return "write a URL of at most 2048 visible ASCII characters"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "this is not a URL"
    faults = {
        "use https://": parts.scheme not in ({"https", "http"} if private_allowed else {"https"}),
        "name a host, and no user or password": not host or "@" in parts.netloc or port == 0,
        "leave the fragment out": "#" in url,
        "this address is not one of the open Internet": not private_allowed and _is_local(host),
    }
    return next((fault for fault, found in faults.items() if found), None)


def _is_local(host: str | None) -> bool:
    name = (host or "").rstrip(".")
    if name.endswith(_LOCAL_NAMES):
        return True
    try:
        return not is_public(name)
    except ValueError:  # a name, or a number of 1 to 4 parts that resolvers take for an address
        return name.rpartition(".")[2][:1].isdigit()
