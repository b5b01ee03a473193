"""A person opens a report, and optuna-dashboard beside another site's page, in Chromium on a finished search."""

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

from tests.conftest import NAS, environment, heed_interrupts, run_nas

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


needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Debian's package chromium, which `make test` could not install"
)
_SHOWN = "#figure-{id} .scatterlayer .trace .points path.point, [id='user-defined-plot:{id}'] .points path.point"


def complaints_of(page: Page) -> list[str]:
    """What the page writes to its console as an error, from now on."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


@needs_chromium
def test_figures_of_the_report_are_drawn(tight_search: Path, tmp_path: Path) -> None:
    """Every point of the data is a mark in the picture, in light, dark and print; tables sort; nothing is loaded."""
    done = run_nas(tight_search, "report", "tight", "-o", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stderr
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme="dark")
        complaints = complaints_of(page)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "report.html").as_uri())
        page.wait_for_selector("html[data-drawn=yes]", timeout=60_000)
        networks = len(page.query_selector_all("#networks tbody tr"))
        macs = page.locator(_SHOWN.format(id="front-macs"))
        assert macs.count() == networks + 1, "all networks, and the ring around the winner"
        legend = page.locator("#figure-front-macs .legendtext").all_text_contents()
        assert "base, over the budget" in legend
        assert page.locator(_SHOWN.format(id="hypervolume")).count() > 2
        assert page.locator("#winner .layers svg circle").count() == page.locator("#winner tbody tr").count() > 4
        page.locator("#networks th button", has_text="MACs").click()
        cells = [
            int(text.replace(",", "")) for text in page.locator("#networks tbody td:nth-child(4)").all_inner_texts()
        ]
        assert cells == sorted(cells)
        assert page.locator("#networks th[aria-sort=ascending]").inner_text().startswith("MACs")
        dark = page.evaluate("getComputedStyle(document.querySelector('#figure-front-macs .xtitle')).fill")
        page.emulate_media(color_scheme="light")
        page.wait_for_function(
            "dark => getComputedStyle(document.querySelector('#figure-front-macs .xtitle')).fill != dark", arg=dark
        )
        assert len(page.pdf()) > 20_000
        assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []
        assert complaints == []
        browser.close()


@needs_chromium
def test_figures_and_note_in_the_dashboard(tight_search: Path) -> None:
    with served(tight_search) as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        complaints = complaints_of(page)
        page.goto(address)
        page.get_by_text("1. tight").first.click()
        expect(page.locator(_SHOWN.format(id="front-macs")).first).to_be_visible(timeout=60_000)
        expect(page.get_by_text("Accuracy against multiply-adds (MACs)")).to_be_visible()
        expect(page.get_by_text("base, over the budget").first).to_be_visible()
        assert page.locator(_SHOWN.format(id="hypervolume")).count() > 2
        wide = page.locator("[id='user-defined-plot:grid']").bounding_box()
        assert wide is not None
        assert wide["width"] > 1000
        page.goto(page.url.rstrip("/") + "/note")
        expect(page.get_by_text("multipliers; 5 networks")).to_be_visible(timeout=30_000)
        assert complaints == []
        browser.close()


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, str]]:
    """The address of `nas dashboard` in a folder, with its token and without; it ends as by Ctrl-C."""
    server = subprocess.Popen(
        [NAS, "dashboard", "--port", "0"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=heed_interrupts,  # noqa: PLW1509 the tests run no threads here
    )
    assert server.stdout is not None
    try:
        found = re.match(r"((http://127\.0\.0\.1:\d+/)\?token=\S+) \(Ctrl-C ends it\)", server.stdout.readline())
        assert found is not None
        yield found[1], found[2]
    finally:
        server.send_signal(signal.SIGINT)
        rest, _ = server.communicate(timeout=30)
    assert rest == "stopped\n"
    assert server.returncode == 0


@needs_chromium
def test_study_and_its_trials_are_seen(finished_search: Path, tmp_path: Path) -> None:
    with served(finished_search) as (address, target), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        is_opened_with_its_token(page, address)
        page.screenshot(path=tmp_path / "trials.png")
        is_deaf_to_other_sites(page, target)
        browser.close()
