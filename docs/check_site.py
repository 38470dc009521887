"""Open every page of the built site in headless Chromium, at the width of a phone and of a laptop.

    python -m pip install playwright            # and a Chromium, by `playwright install chromium` or the system's own
    python docs/check_site.py                   # docs/_build/html
    python docs/check_site.py --pages index quickstart --screenshots shots

The script reports console errors, requests to anything but the site itself, broken links and anchors inside the
site, and pages or tables that are wider than the window. The exit status is 1 if there are any, and 2 if there is no
browser, or 0 with --if-installed.
"""

import argparse
import shutil
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

WIDTHS = 390, 1280
"""Pixels of a common phone and of a small laptop."""

LINKS = """() => [...document.querySelectorAll("a[href]")].map(a => a.href)"""
ANCHORS = """() => [...document.querySelectorAll("[id]")].map(e => e.id)"""
OVERFLOW = """() => Math.max(...["html", ".bd-main", ".bd-article-container", ".bd-article"].map(selector => {
    const box = document.querySelector(selector);
    return box ? box.scrollWidth - box.clientWidth : 0;
}))"""
MATHS = "() => window.MathJax?.startup?.promise?.then(() => true)"
WIDE_TABLES = """() => [...document.querySelectorAll(".pst-scrollable-table-container")]
    .filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.innerText.slice(0, 40))"""


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line per request."""

    def log_message(self, *args):
        """Print nothing."""


def served(folder):
    """Serve a folder on a free port of this machine; return the server and its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}/"


def launched(playwright):
    """Return the browser that playwright brought along, or the system's."""
    installed = [
        path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))
    ]
    executable = (
        None if Path(playwright.chromium.executable_path).exists() else installed[0] if installed else None
    )
    return playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])


def opened(browser, address, width, problems):
    """Return a page of this width that appends what goes wrong to a list."""

    def on_console(message):
        if message.type == "error":
            problems.append(f"console: {message.text}")

    def on_request(request):
        if not request.url.startswith((address, "data:", "blob:")):
            problems.append(f"request outside: {request.url}")

    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", on_console)
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    page.on("request", on_request)
    return page


def looked_at(page, address, name, problems, screenshots):
    """Open one page of the site; return its links and its anchors."""
    page.goto(address + name, wait_until="load")
    page.evaluate(MATHS)
    if (surplus := page.evaluate(OVERFLOW)) > 1:
        problems.append(f"{surplus} px wider than the window")
    problems += [f"a table scrolls sideways: {text!r}" for text in page.evaluate(WIDE_TABLES)]
    if screenshots:
        width = page.viewport_size["width"]
        page.screenshot(path=screenshots / f"{name.replace('/', '_')}_{width}.png", full_page=True)
    return page.evaluate(LINKS), set(page.evaluate(ANCHORS))


def dead_links(address, links, anchors, root):
    """Yield the links of a page that lead to no file of the site, or to no anchor of a page that was opened."""
    for link in sorted(set(links)):
        if not link.startswith(address):
            continue
        name, _, anchor = link.removeprefix(address).partition("#")
        name = name.split("?")[0] or "index.html"
        if not (root / name).exists() or (anchor and name in anchors and anchor not in anchors[name]):
            yield f"dead link: {name}#{anchor}"


def main():
    """Open all pages and print what is wrong."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--site", type=Path, default=Path(__file__).parent / "_build" / "html")
    parser.add_argument("--pages", nargs="+", help="names without .html; all by default")
    parser.add_argument("--if-installed", action="store_true", help="without a browser, do nothing")
    parser.add_argument("--screenshots", type=Path, help="folder for full-page pictures")
    options = parser.parse_args()
    without_browser = 0 if options.if_installed else 2
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        print("playwright is not installed: python -m pip install playwright")
        return without_browser
    names = [f"{page}.html" for page in options.pages or []] or sorted(
        path.relative_to(options.site).as_posix()
        for path in options.site.rglob("*.html")
        if "_modules" not in path.parts and "_static" not in path.parts
    )
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    server, address = served(options.site)
    found, links, anchors = [], {}, {}
    with sync_playwright() as playwright:
        try:
            browser = launched(playwright)
        except Error as error:
            print(f"no Chromium starts: {error}")
            return without_browser
        for width in WIDTHS:
            problems = []
            page = opened(browser, address, width, problems)
            for name in names:
                links[name], anchors[name] = looked_at(page, address, name, problems, options.screenshots)
                found += [f"{name} at {width} px: {problem}" for problem in problems]
                problems.clear()
        browser.close()
    server.shutdown()
    for name in names:
        found += [f"{name}: {problem}" for problem in dead_links(address, links[name], anchors, options.site)]
    print(
        "\n".join(found) or "nothing wrong",
        f"\n{len(names)} pages at {len(WIDTHS)} widths, {len(found)} problems",
    )
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
