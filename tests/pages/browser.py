#!/usr/bin/env python3
"""Tries the pages of a running shop in headless Chromium.

    browser.py URL

Checks every page for errors in the console, requests to other hosts, violations of the content security policy, a layout that fits a
phone, and serious findings of axe. Then it goes through the shop in the API reference: register, log in, authorize, order, pay; and
reaches everything by keyboard alone. Screenshots are in target/pages. Without Chromium it prints a sentence and exits with 0.
"""

import json
import re
import shutil
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "target/pages"
PAGES = ("", "docs", "docs/orders", "problems", "problems/order_not_found", "problems/out_of_range")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
TIMEOUT_MS = 20_000
# A background service of the browser would otherwise call hosts that the tests must not depend on.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync"]
WATCH_POLICY = "window.violations = []; document.addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective + ' ' + e.blockedURI));"


class Failed(Exception):
    """A page is not as it should be."""


def check(condition, sentence):
    if not condition:
        raise Failed(sentence)


class Browser:
    def __init__(self, playwright, url):
        self.url = url.rstrip("/") + "/"
        self.browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)

    @contextmanager
    def page(self, path, viewport=DESKTOP):
        """Opens a page. At its end the page must have had no error and no request to another host."""
        context = self.browser.new_context(viewport=viewport)
        context.set_default_timeout(TIMEOUT_MS)
        page, errors = context.new_page(), []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: errors.append(f"request to {request.url}") if self.is_foreign(request.url) else None)
        page.add_init_script(WATCH_POLICY)
        page.goto(self.url + path)
        page.wait_for_load_state("networkidle")
        try:
            yield page
        except Exception:
            page.screenshot(path=SCREENSHOTS / "failed.png")
            raise
        # Chromium reports an answer above 399 as an error in the console; those that a step expects are not errors of the page.
        errors = [each for each in errors if "Failed to load resource" not in each]
        check(not errors, f"/{path} has errors: {errors}")
        violations = page.evaluate("violations")
        check(not violations, f"/{path} violates its content security policy: {violations}")
        context.close()

    def is_foreign(self, address):
        return urlsplit(address).scheme in ("http", "https") and urlsplit(address).netloc != urlsplit(self.url).netloc


def every_page_is_clean(browser):
    from axe_playwright_python.sync_playwright import Axe

    for path in PAGES:
        name = path.replace("/", "-") or "overview"
        with browser.page(path) as page:
            ready(page, path)
            page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=not path.startswith("docs"))
            found = Axe().run(page).response["violations"]
            serious = [f"{each['id']}: {[node['target'] for node in each['nodes']]}" for each in found if each["impact"] in ("serious", "critical")]
            check(not serious, f"/{path} has serious findings of axe: {serious}")
        with browser.page(path, PHONE) as page:
            ready(page, path)
            page.screenshot(path=SCREENSHOTS / f"{name}-phone.png")
            width = page.evaluate("document.documentElement.scrollWidth")
            check(width <= PHONE["width"], f"/{path} is {width} pixels wide on a phone of {PHONE['width']}")


def ready(page, path):
    """Waits for what a script adds to the page."""
    if path == "":
        page.wait_for_function("document.getElementById('health').textContent.startsWith('The shop is')")
    elif path.startswith("docs"):
        page.wait_for_selector(".swagger-ui .opblock-tag-section")


def overview_shows_health_and_links(browser):
    with browser.page("") as page:
        ready(page, "")
        healthy = page.locator(".services .health.healthy").count()
        check(healthy == page.locator(".services li").count(), f"{healthy} services are shown as healthy")
        for link in page.locator("a[href]").evaluate_all("links => links.map(link => link.href)"):
            answer = page.request.get(link)
            check(answer.status == 200, f"the overview links to {link}, which answers {answer.status}")


def whole_journey_from_the_reference(browser):
    """Registers, logs in, authorizes, orders and pays in the API reference."""
    run = uuid.uuid4().hex[:8]
    person = {"email": f"reader-{run}@example.com", "username": f"reader-{run}", "full_name": "Rita Reader", "password": f"pages of {run} are read"}
    with browser.page("docs") as page:
        ready(page, "docs")
        check(call(page, "users", "register-user", person)[0] == 201, "register-user from the reference is refused")
        status, session = call(page, "users", "login-user", {name: person[name] for name in ("email", "password")})
        check(status == 200, f"login-user from the reference answers {status}")
        page.locator(".auth-wrapper .btn.authorize").first.click()
        dialog = page.locator(".dialog-ux")
        dialog.locator("input").fill(session["access_token"])
        dialog.locator("button.authorize").click()
        dialog.locator("button.btn-done").click()
        status, products = call(page, "catalog", "list-products")
        check(status == 200, f"list-products from the reference answers {status}")
        product = next(each for each in products["items"] if each["category"] != "demo")
        order = {"items": [{"product_id": product["id"], "quantity": 1}]}
        status, order = call(page, "orders", "create-order", order, {"Idempotency-Key": f"order-{run}"})
        check(status == 201, f"create-order from the reference answers {status}: {order}")
        wait_for("the order becomes payable", lambda: call(page, "orders", "get-order", parameters={"order_id": order["id"]})[1].get("payable"))
        payment = {"order_id": order["id"], "payment_method": {"type": "card", "token": "tok_ok"}}
        # Payments may not know the order yet: the same request is repeated.
        wait_for("the payment is accepted", lambda: call(page, "payments", "create-payment", payment, {"Idempotency-Key": f"payment-{run}"})[0] == 201)
        wait_for("the order is confirmed",
                 lambda: call(page, "orders", "get-order", parameters={"order_id": order["id"]})[1]["status"] == "confirmed")
        page.screenshot(path=SCREENSHOTS / "journey.png")


def wait_for(what, ready_now):
    deadline = time.monotonic() + TIMEOUT_MS / 1000
    while not ready_now():
        check(time.monotonic() < deadline, f"{what}: not within {TIMEOUT_MS // 1000} s")


def call(page, service, operation, body=None, parameters=None):
    """Executes an operation in the reference and returns status and body of the answer."""
    block = page.locator(f"#operations-{service}-{operation}")
    if not block.is_visible():
        page.locator(f"#operations-tag-{service}").click()
    if "is-open" not in block.get_attribute("class"):
        block.locator("button.opblock-summary-control").click()
    for name, value in (parameters or {}).items():
        block.locator(f'tr[data-param-name="{name}"] input').fill(value)
    if body is not None:
        block.locator("textarea.body-param__text").fill(json.dumps(body))
    if block.locator("button.btn-clear").count():
        block.locator("button.btn-clear").click()
    block.locator("button.execute").click()
    answer = block.locator(".live-responses-table tbody tr.response")
    answer.wait_for()
    status = int(re.match(r"\d+", answer.locator(".response-col_status").inner_text()).group())
    text = answer.locator(".highlight-code code").first.inner_text()
    return status, json.loads(text)


def keyboard_reaches_everything(browser):
    with browser.page("") as page:
        page.keyboard.press("Tab")
        check(focused(page) == "Skip to the content", f"the first Tab reaches {focused(page)!r}")
        page.keyboard.press("Enter")
        tab_to(page, "Open the API reference")
        page.keyboard.press("Enter")
        page.wait_for_selector(".swagger-ui .opblock-tag-section")
        check(page.url.endswith("/docs"), f"Enter on the button leads to {page.url}")
    with browser.page("docs/platform") as page:
        ready(page, "docs/platform")
        tab_to(page, "/health/live")
        page.keyboard.press("Enter")
        tab_to(page, "Execute")
        page.keyboard.press("Enter")
        page.locator("#operations-platform-get-health-live .live-responses-table tbody tr.response").wait_for()


def focused(page):
    return page.evaluate("(document.activeElement.innerText || document.activeElement.ariaLabel || '').trim()")


def tab_to(page, text):
    for _ in range(200):
        page.keyboard.press("Tab")
        if text in focused(page).replace("\u200b", ""):
            return
    raise Failed(f"Tab does not reach {text!r}")


TESTS = (every_page_is_clean, overview_shows_health_and_links, whole_journey_from_the_reference, keyboard_reaches_everything)


def main(arguments):
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    if not shutil.which("chromium"):
        print("Chromium is not installed, so the pages are not tried in a browser: run apt-get install -y chromium.", file=sys.stderr)
        return 0
    from playwright.sync_api import Error, sync_playwright

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    failures = 0
    with sync_playwright() as playwright:
        browser = Browser(playwright, arguments[0])
        for test in TESTS:
            try:
                test(browser)
                print(f"pages: {test.__name__} ... ok", flush=True)
            except (Failed, Error) as failure:
                failures += 1
                print(f"pages: {test.__name__} ... FAILED\n  {failure}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
