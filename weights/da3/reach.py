"""Whether the hub can be asked for a checkpoint, found out within seconds.

It takes nothing but Python itself, so that this is known before the packages of
`requirements/models.txt` are installed, and before the hub's library is loaded.
"""

import http.client
import os
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future, wait
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

DEADLINE = 10.0
"""Seconds after which a hub that has not answered counts as out of reach."""
TIMEOUT = 5.0
"""Seconds to wait for one of its addresses, and for one answer."""
ADVICE = "see HF_ENDPOINT for a mirror, HTTPS_PROXY for a proxy"
GATEWAYS = (502, 503, 504)
"""Statuses of who stands before the hub and does not reach it."""
PROXIES = ("http", "https", "socks5", "socks5h")
"""Schemes of proxies that the hub's library knows."""
YES = ("1", "ON", "YES", "TRUE")

T = TypeVar("T")


class DownloadError(Exception):
    """A download that is not possible; the message says why."""


class OutOfReach(DownloadError):  # noqa: N818
    """The hub cannot be asked, or must not be."""


def check(repository: str) -> None:
    """Ask the hub for an answer, whichever; offline, see whether its cache has the repository.

    Raises:
        OutOfReach: if there is none.
        DownloadError: if the settings make no sense.
    """
    if _offline():
        if not _is_cached(repository):
            raise OutOfReach(
                f"{repository} is not in the hub's cache {_cache()}, and the hub must not be "
                "asked, as HF_HUB_OFFLINE is set"
            )
        return
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    try:
        within(DEADLINE, hub, lambda: _ask(hub, f"{hub}/{repository}/resolve/main/config.json"))
    except OutOfReach as error:
        if _is_cached(repository):
            raise OutOfReach(
                f"{error}; the hub's cache has it: --offline takes it there"
            ) from error
        raise
    except ValueError as error:
        raise DownloadError(f"{hub} cannot be asked: {error}; {ADVICE}") from error


def within(seconds: float, hub: str, task: Callable[[], T]) -> T:
    """Do what may hang for a limited time: nothing bounds the look-up of a host's name, and a host
    may have many addresses. A thread that hangs ends with the process.

    Raises:
        OutOfReach: after that time.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(task())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    if not wait([future], seconds).done:
        raise OutOfReach(f"{hub} does not answer within {seconds:g} s; {ADVICE}")
    return future.result()


def _ask(hub: str, url: str) -> None:
    """Wait for any answer of the hub's, without following where it leads."""
    host, scheme = urlsplit(url).netloc, urlsplit(url).scheme
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if proxy and urllib.request.proxy_bypass(host):
        proxy = None
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    by = f" through the proxy {_without_password(proxy)}" if proxy else ""
    try:
        if proxy and proxy.startswith("socks"):
            _ask_socks(proxy)
            return
        if proxy and urlsplit(proxy).scheme not in PROXIES:
            raise _unknown_scheme(proxy)
        handler = urllib.request.ProxyHandler({scheme: proxy} if proxy else {})
        request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "pointstream"})
        urllib.request.build_opener(handler, _NoRedirect).open(request, timeout=TIMEOUT).close()
    except urllib.error.HTTPError as error:
        if error.code in GATEWAYS:
            raise OutOfReach(f"{hub} answers {error.code}{by}; {ADVICE}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        # It answers. Which certificates are trusted is for the hub's library to say.
        if isinstance(reason, ssl.SSLError):
            return
        if isinstance(reason, TimeoutError):
            raise OutOfReach(f"{hub} does not answer{by}; {ADVICE}") from error
        detail = str(reason).strip() or type(reason).__name__
        raise OutOfReach(f"{hub} cannot be reached{by} ({detail}); {ADVICE}") from error


def _ask_socks(proxy: str) -> None:
    """Python itself does not speak with such a proxy: it is enough that it is there."""
    parts = urlsplit(proxy)
    if parts.scheme not in PROXIES:
        raise _unknown_scheme(proxy)
    if find_spec("socksio") is None:
        raise DownloadError(
            f"the proxy {_without_password(proxy)} takes the Python package socksio, which is not "
            "installed; install it, or name a proxy for HTTP with HTTPS_PROXY"
        )
    socket.create_connection((parts.hostname, parts.port or 1080), TIMEOUT).close()


def _unknown_scheme(proxy: str) -> DownloadError:
    known = ", ".join(PROXIES)
    return DownloadError(f"the proxy {_without_password(proxy)} has none of the schemes {known}")


def _without_password(address: str) -> str:
    scheme, _, rest = address.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Have a redirect raised as an answer like others."""
        return None


def _offline() -> bool:
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in YES


def _cache() -> Path:
    """The hub's cache, as its library finds it."""
    environment = os.environ
    home = environment.get("XDG_CACHE_HOME", "~/.cache")
    home = environment.get("HF_HOME", os.path.join(home, "huggingface"))
    cache = environment.get("HUGGINGFACE_HUB_CACHE", os.path.join(home, "hub"))
    cache = environment.get("HF_HUB_CACHE", cache)
    return Path(os.path.expandvars(os.path.expanduser(cache)))


def _is_cached(repository: str) -> bool:
    """Whether the hub's cache has weights of a repository, of whatever revision."""
    snapshots = _cache() / f"models--{repository.replace('/', '--')}" / "snapshots"
    return any(snapshots.glob("*/model.safetensors"))
