"""A person opens optuna-dashboard in Chromium on a finished search."""

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.conftest import NAS, environment, heed_interrupts

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


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
        found = re.match(r"(http://127\.0\.0\.1:\d+/) ", server.stdout.readline())
        assert found is not None
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(found[1])
            page.get_by_text("1. small").first.click()
            expect(page.get_by_text("Objective X:").first).to_be_visible(timeout=30_000)
            expect(page.get_by_text("validation accuracy").first).to_be_visible()
            page.goto(page.url.rstrip("/") + "/trials")
            expect(page.get_by_text("6 Trials").first).to_be_visible(timeout=30_000)
            page.get_by_text("Trial 5").first.click()
            expect(page.get_by_text("compensation-IV").first).to_be_visible()
            page.screenshot(path=tmp_path / "trials.png")
            browser.close()
    finally:
        server.send_signal(signal.SIGINT)
        rest, _ = server.communicate(timeout=20)
    assert "stopped" in rest
    assert server.returncode == 0
