"""A person opens optuna-dashboard in Chromium on a finished search, while another site's page is open beside it."""

import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.conftest import NAS, environment, heed_interrupts

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
HOSTILE = """<!doctype html><title>hostile</title>
<iframe src="{target}dashboard" onload="document.title='framed'"></iframe>
<form action="{target}api/studies" method="post" enctype="text/plain">
<input name='{{"study_name": "stolen", "directions": ["minimize"], "rest": "' value='"}}'></form>
<script>
async function attack() {{
  const asked = ["DELETE", "POST", "GET"].map((method) =>
    fetch("{target}api/studies/1", {{method, mode: method === "DELETE" ? "cors" : "no-cors", credentials: "include"}})
      .then(() => "answered").catch(() => "refused"));
  return await Promise.all(asked);
}}
</script>"""


@contextmanager
def hostile_site(target: str) -> Iterator[str]:
    """Another server of this machine: the nearest that a foreign site can be, as browsers give it our cookies."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(HOSTILE.format(target=target).encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def is_opened_with_its_token(page: Page, address: str) -> None:
    page.goto(address.partition("?")[0])
    expect(page.get_by_text("Paste the whole address that nas dashboard printed")).to_be_visible()
    page.goto(address)
    page.get_by_text("1. small").first.click()
    assert "token" not in page.url
    expect(page.get_by_text("Objective X:").first).to_be_visible(timeout=30_000)
    expect(page.get_by_text("validation accuracy").first).to_be_visible()
    page.goto(page.url.rstrip("/") + "/trials")
    expect(page.get_by_text("6 Trials").first).to_be_visible(timeout=30_000)
    page.get_by_text("Trial 5").first.click()
    expect(page.get_by_text("compensation-IV").first).to_be_visible()


def is_deaf_to_other_sites(page: Page, target: str) -> None:
    """In the same browser, which has the cookie; localhost is another site, 127.0.0.1 another port of the same."""
    with hostile_site(target) as site:
        for address in (site, site.replace("127.0.0.1", "localhost")):
            page.goto(address)
            assert page.evaluate("attack()") == ["refused"] * 3
            assert page.frames[1].evaluate("document.body ? document.body.innerText : ''").find("small") == -1
            with page.expect_navigation():
                page.evaluate("document.forms[0].submit()")
            expect(page.get_by_text(re.compile("Open http://127|Paste the whole address"))).to_be_visible()
    page.goto(f"{target}api/studies")
    shown = page.inner_text("body")
    assert '"study_name": "small"' in shown
    assert "stolen" not in shown


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium, which `make test` could not install")
def test_study_and_its_trials_are_seen(finished_search: Path, tmp_path: Path) -> None:
    server = subprocess.Popen(
        [NAS, "dashboard", "--port", "0"],
        cwd=finished_search,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=heed_interrupts,  # noqa: PLW1509 the tests run no threads here
    )
    assert server.stdout is not None
    try:
        found = re.match(r"((http://127\.0\.0\.1:\d+/)\?token=\S+) \(Ctrl-C ends it\)", server.stdout.readline())
        assert found is not None
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            is_opened_with_its_token(page, found[1])
            page.screenshot(path=tmp_path / "trials.png")
            is_deaf_to_other_sites(page, found[2])
            browser.close()
    finally:
        server.send_signal(signal.SIGINT)
        rest, _ = server.communicate(timeout=20)
    assert rest == "stopped\n"
    assert server.returncode == 0
