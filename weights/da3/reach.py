"""Check within seconds whether the hub can be reached.

Uses only the standard library, so that the check can run before the packages of
`requirements/models.txt` are installed and before the hub's library is loaded.
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
"""Seconds after which a hub that does not respond counts as unreachable."""
TIMEOUT = 5.0
"""Timeout in seconds per address and per response."""
ADVICE = "see HF_ENDPOINT for a mirror, HTTPS_PROXY for a proxy"
GATEWAYS = (502, 503, 504)
"""HTTP statuses of a gateway that cannot reach the hub."""
PROXIES = ("http", "https", "socks5", "socks5h")
"""Proxy schemes that the hub's library supports."""
YES = ("1", "ON", "YES", "TRUE")

T = TypeVar("T")


class DownloadError(Exception):
    """A download is not possible."""


class OutOfReach(DownloadError):  # noqa: N818
    """The hub cannot be reached, or offline mode forbids it."""


def check(repository: str) -> None:
    """Check that the hub responds; when offline, that its cache has the repository.

    Raises:
        OutOfReach: if it does not.
        DownloadError: if the settings are invalid.
    """
    if _offline():
        if not _is_cached(repository):
            raise OutOfReach(
                f"{repository} is not in the hub's cache {_cache()}, and HF_HUB_OFFLINE is set, "
                "so the hub is not asked"
            )
        return
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    try:
        within(DEADLINE, hub, lambda: _ask(hub, f"{hub}/{repository}/resolve/main/config.json"))
    except OutOfReach as error:
        if _is_cached(repository):
            raise OutOfReach(f"{error}; the hub's cache has the model: use --offline") from error
        raise
    except ValueError as error:
        raise DownloadError(f"{hub} cannot be asked: {error}; {ADVICE}") from error


def within(seconds: float, hub: str, task: Callable[[], T]) -> T:
    """Run a task with a time limit, in a daemon thread that ends with the process at the latest.

    Socket timeouts do not suffice: name resolution has none, and a host may have many addresses.

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
    """Wait for any response of the hub, without following redirects."""
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
        # The hub responds. The hub's library decides which certificates to trust.
        if isinstance(reason, ssl.SSLError):
            return
        if isinstance(reason, TimeoutError):
            raise OutOfReach(f"{hub} does not answer{by}; {ADVICE}") from error
        detail = str(reason).strip() or type(reason).__name__
        raise OutOfReach(f"{hub} cannot be reached{by} ({detail}); {ADVICE}") from error


def _ask_socks(proxy: str) -> None:
    """Only check that the proxy accepts connections: the standard library has no SOCKS client."""
    parts = urlsplit(proxy)
    if parts.scheme not in PROXIES:
        raise _unknown_scheme(proxy)
    if find_spec("socksio") is None:
        raise DownloadError(
            f"the proxy {_without_password(proxy)} needs the Python package socksio, which is not "
            "installed; install it, or set HTTPS_PROXY to an HTTP proxy"
        )
    socket.create_connection((parts.hostname, parts.port or 1080), TIMEOUT).close()


def _unknown_scheme(proxy: str) -> DownloadError:
    known = ", ".join(PROXIES)
    return DownloadError(
        f"the scheme of the proxy {_without_password(proxy)} is not one of {known}"
    )


def _without_password(address: str) -> str:
    scheme, _, rest = address.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Return None, so that a redirect is raised like any other response."""
        return None


def _offline() -> bool:
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in YES


def _cache() -> Path:
    """The hub's cache folder, located as its library does."""
    environment = os.environ
    home = environment.get("XDG_CACHE_HOME", "~/.cache")
    home = environment.get("HF_HOME", os.path.join(home, "huggingface"))
    cache = environment.get("HUGGINGFACE_HUB_CACHE", os.path.join(home, "hub"))
    cache = environment.get("HF_HUB_CACHE", cache)
    return Path(os.path.expandvars(os.path.expanduser(cache)))


def _is_cached(repository: str) -> bool:
    """Whether the hub's cache has weights of any revision of a repository."""
    snapshots = _cache() / f"models--{repository.replace('/', '--')}" / "snapshots"
    return any(snapshots.glob("*/model.safetensors"))
