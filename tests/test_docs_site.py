"""The documents as a site: built strictly, whole without a network, equations drawn by Chromium."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from docs.mkdocs_hooks import to_mathml
from tests.documents import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
LOADED = re.compile(
    r"""<(?:link|script|img|iframe|source)\b[^>]*?\b(?:src|href|srcset)=["']?((?:https?:)?//[^"'\s>]+)"""
)


def build(target: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As `make docs`; --quiet would let warnings pass that --strict makes errors."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_document_is_a_page(site: Path) -> None:
    for path in (ROOT / "docs").glob("*.md"):
        assert (site / f"{path.stem}.html").is_file()
    assert not list(site.rglob("mkdocs_hooks*"))
    assert (site / "project" / "nas" / "network.schema.json").read_bytes() == (
        ROOT / "nas" / "network.schema.json"
    ).read_bytes()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert LOADED.findall(path.read_text()) == [], path.name
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", path.read_text()), path.name
    assert LOADED.findall('<link rel="x" href="https://a.b/c"><script async src=//a.b/c></script>') == [
        "https://a.b/c",
        "//a.b/c",
    ]


def test_equations_are_mathml(site: Path) -> None:
    for name in ("compensation", "neuralscale", "isometric", "msnet", "baselines", "costs", "training"):
        text = (site / f"{name}.html").read_text()
        source = (ROOT / "docs" / f"{name}.md").read_text()
        written = len(re.findall(r"\$`[^`]+`\$", source)) + len(re.findall(r"^```math$", source, flags=re.MULTILINE))
        assert text.count("<math") == written > 0
        assert "$`" not in text.replace("$<code>", "$`")


@pytest.mark.parametrize("wrong", [r"\frac{a", r"\nosuchcommand{a}", r"\left( a"])
def test_wrong_equations_are_errors(wrong: str) -> None:
    with pytest.raises(ValueError, match="an equation must"):
        to_mathml(wrong)


def test_broken_links_are_errors(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "mkdocs_hooks.py", tmp_path / "docs")
    config = (ROOT / "mkdocs.yml").read_text().partition("nav:\n")[0]
    (tmp_path / "mkdocs.yml").write_text(config)
    for text in ("[gone](gone.md)", "[gone](#gone)", "[gone](../examples/gone.yaml)"):
        (tmp_path / "docs" / "index.md").write_text(f"# Page\n\n{text}\n")
        done = build(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
        assert done.returncode == 1, text
        assert re.search("WARNING.*gone", done.stdout + done.stderr)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: the site is not opened in a browser")
def test_is_read_and_searched_as_files(site: Path, tmp_path: Path) -> None:
    said: list[str] = []
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "neuralscale.html").as_uri())
        fraction = page.locator("mfrac").first
        box, numerator = fraction.bounding_box(), fraction.locator("> *").first.bounding_box()
        assert box is not None
        assert numerator is not None
        assert numerator["height"] < 0.7 * box["height"]  # drawn one above the other, not as a line of text
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.screenshot(path=tmp_path / "neuralscale.png")
        page.goto((site / "index.html").as_uri())
        page.get_by_placeholder("Search").click()
        page.get_by_placeholder("Search").press_sequentially("racing")
        expect(page.locator(".md-search-result__link").first).to_be_visible()
        page.locator(".md-search-result__link").first.click()
        expect(page.locator("h2", has_text="Racing").first).to_be_visible()
        browser.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
