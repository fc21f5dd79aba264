"""A small client of Ferrocart's public API, for the sample data, the samples, the demo and the smoke test."""

import json
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

STATE = Path(__file__).parent / ".state"


class ApiError(Exception):
    """An unexpected response."""


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def code(self):
        return self.body.get("code", "") if isinstance(self.body, dict) else ""

    @property
    def request_id(self):
        return self.headers.get("X-Request-Id") or (self.body.get("request_id", "") if isinstance(self.body, dict) else "")

    def __str__(self):
        return f"{self.status} {json.dumps(self.body)}"


def tls_context(url):
    """Returns how to verify the server: a local stack by its own certificate, any other by the system's authorities."""
    address = urlsplit(url)
    if address.scheme != "https":
        return None
    for file in sorted(STATE.glob("*/stack.json")):
        local = urlsplit(json.loads(file.read_text()).get("url") or "")
        if (local.scheme, local.netloc) == ("https", address.netloc):
            return ssl.create_default_context(cafile=file.parent / "https.pem")
    return ssl.create_default_context()


class Api:
    """The API at one address, called by one user. `headers` are sent with each request; `observe` receives each answer."""

    def __init__(self, url, token=None, refresh_token=None, headers=None, observe=None, context=None):
        self.url, self.token, self.refresh_token = url.rstrip("/"), token, refresh_token
        self.headers, self.observe = headers or {}, observe or (lambda method, path, answer: None)
        self.context = context or tls_context(url)

    def as_caller(self, token, refresh_token=None):
        return Api(self.url, token, refresh_token, self.headers, self.observe, self.context)

    def with_cart(self, cart_token):
        """Returns a client of the same caller that opens this guest's cart."""
        return Api(self.url, self.token, self.refresh_token, self.headers | {"X-Cart-Token": cart_token}, self.observe, self.context)

    def call(self, method, path, body=None, key=None, expect=(200, 201, 202, 204), if_match=None):
        """Sends one request. Retries it for up to 20 seconds on 429, 502, 503 and 504, unless an operator has to act first."""
        headers = {"Accept": "application/json"} | self.headers
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if key:
            headers["Idempotency-Key"] = key
        if if_match:
            headers["If-Match"] = if_match
        data = None if body is None else json.dumps(body).encode()
        deadline = time.monotonic() + 20
        while True:
            answer = self._once(urllib.request.Request(self.url + path, data, headers, method=method))
            self.observe(method, path, answer)
            again = answer.status in (429, 502, 503, 504) and answer.status not in expect and answer.code != "no_market"
            if not again or time.monotonic() > deadline:
                break
            time.sleep(min(float(answer.headers.get("Retry-After") or 0.3), 2))
        if answer.status not in expect:
            raise ApiError(f"{method} {path} answered {answer}")
        return answer

    def _once(self, request):
        try:
            with urllib.request.urlopen(request, timeout=40, context=self.context) as response:
                return Answer(response.status, response.headers, _json(response.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, _json(error.read()))
        except (urllib.error.URLError, OSError) as error:
            raise ApiError(f"{request.full_url} cannot be reached ({getattr(error, 'reason', error)})") from error

    def log_in(self, email, password):
        """Logs in, and returns a client with the access token of this user."""
        answer = self.call("POST", "/users/login", {"email": email, "password": password})
        return self.as_caller(answer.body["access_token"])

    def register(self, user):
        """Registers this user, and returns whether the account is new."""
        return self.call("POST", "/users", user, expect=(201, 409)).status == 201

    def items(self, path):
        """Iterates over all items of a list, page by page."""
        cursor = None
        while True:
            page = self.call("GET", path + (("&" if "?" in path else "?") + f"cursor={cursor}" if cursor else "")).body
            yield from page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return


def _json(raw):
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw.decode(errors="replace")


def money(value):
    """`$59.98` for an amount of 5998 in USD."""
    if not isinstance(value, dict):
        return str(value)
    sign = {"USD": "$", "EUR": "€", "GBP": "£"}.get(value.get("currency"), f"{value.get('currency')} ")
    return f"{sign}{value.get('amount', 0) / 100:,.2f}"
