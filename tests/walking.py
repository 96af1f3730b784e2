"""A person's way through the studio in Chromium, and a server of it in a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from karat.languages import language

DESKTOP, PHONE = {"width": 1280, "height": 850}, {"width": 390, "height": 844}
PATIENCE = 180_000  # milliseconds on a machine that does other things too
GONE = re.compile(
    "ERR_(CONNECTION|INCOMPLETE_CHUNKED|EMPTY_RESPONSE|INTERNET_DISCONNECTED|NETWORK)|htmx:(sendError|afterRequest)"
)
ENGLISH = """() => {
  const words = /(?:[A-Za-z][A-Za-z'’-]*[,;:]? +){3,}[A-Za-z][A-Za-z'’-]*/, found = [];
  const data = "code, pre, kbd, script, style, noscript, textarea, input, [lang=''], table.sheet, [data-copies]";
  const technical = ", svg, svg *, dl *";  // of a report: its drawings in words, and the facts of the run
  const documents = [document];
  for (const frame of document.querySelectorAll("iframe.report"))
    if (frame.contentDocument?.documentElement.lang.startsWith("zh")) documents.push(frame.contentDocument);
  for (const each of documents) {
    const walker = each.createTreeWalker(each.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode, holder = node.parentElement;
      if (!words.test(node.data) || holder.closest(data + (each === document ? "" : technical))) continue;
      found.push(node.data.trim().slice(0, 160));
    }
    for (const name of ["aria-label", "alt", "title", "placeholder"]) {
      for (const one of each.querySelectorAll(`[${name}]`)) {
        const said = one.getAttribute(name), where = `[lang='']${each === document ? "" : technical}`;
        if (words.test(said) && !one.closest(where)) found.push(`${name}: ${said.slice(0, 160)}`);
      }
    }
  }
  return found;
}"""


class Server:
    """`karat serve` in a process of its own, which may be killed and started again at the same address."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, 0
        self.start()

    def start(self) -> None:
        line = [sys.executable, "-m", "karat", "serve", "runs", "--root", ".", "--port", str(self.port)]
        with open(self.root / ".said", "w+b") as said:
            self.process = subprocess.Popen(line, cwd=self.root, stdout=said, stderr=subprocess.STDOUT)
        for _ in range(1200):
            found = re.search(rb"http://127\.0\.0\.1:(\d+)", (self.root / ".said").read_bytes())
            if found:
                self.port = int(found[1])
                return
            assert self.process.poll() is None, (self.root / ".said").read_text()
            time.sleep(0.1)
        raise AssertionError("the server does not start")

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Walk:
    """One person in one window.   page: of Playwright.   wrong: what should not be, of all pages that were looked at.

    lang: of the browser, "en" or "zh".   goes: whether the server may go away meanwhile.
    """

    def __init__(
        self, browser: Any, address: str, lang: str, size: dict[str, int], dark: bool = False, goes: bool = False
    ) -> None:
        self.lang, self.size, self.wrong, self._seen = lang, size, list[str](), set[str]()
        self.address, self.goes = address, goes
        locale, scheme = {"en": "en-GB", "zh": "zh-CN"}[lang], "dark" if dark else "light"
        self.context = browser.new_context(viewport=size, locale=locale, color_scheme=scheme, base_url=address)
        self.context.set_default_timeout(PATIENCE)
        self.page = self.opened()

    def opened(self) -> Any:
        """A tab; what it asks for elsewhere and what it complains of is wrong."""
        page = self.context.new_page()
        page.on("request", lambda one: self._asked(one.url))
        page.on("console", lambda line: self._said(line))
        page.on("pageerror", lambda error: self.wrong.append(f"{page.url}: {error}"))
        return page

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:", "about:")):
            self.wrong.append(f"asked for {url}")

    def _said(self, line: Any) -> None:
        """A page that is refused or missing is one too: only of its own address may Chromium say that it failed."""
        missing = "Failed to load resource" in line.text and line.location["url"] == self.page.url
        if line.type in ("error", "warning") and not missing and not (self.goes and GONE.search(line.text)):
            self.wrong.append(f"{self.page.url}: {line.text}")

    # What a person does -------------------------------------------------------------------------------------------------

    def t(self, key: str, **values: object) -> str:
        """The sentence of the studio in the language of the browser."""
        return language(self.lang).say(f"studio.{key}", **values)

    def text(self, key: str, page: Any = None, **values: object) -> Any:
        return (page or self.page).get_by_text(self.t(key, **values), exact=True).first

    def press(self, key: str) -> None:
        """The button of that name; where there is none, whatever is called so."""
        button = self.page.get_by_role("button", name=self.t(key), exact=True)
        (button if button.count() else self.text(key)).first.click()

    def go(self, path: str) -> None:
        self.page.goto(path)
        self.look()

    def at(self, pattern: str) -> None:
        """Waits for the page, and looks at it."""
        self.page.wait_for_url(re.compile(pattern))
        self.look()

    def choose(self, key: str, files: Any) -> None:
        """Chooses files or a folder by the button of that name."""
        with self.page.expect_file_chooser() as chosen:
            self.press(key)
        chosen.value.set_files(files)

    # What holds of every page -------------------------------------------------------------------------------------------

    def look(self, again: bool = False) -> None:
        """Each address once, unless `again`: nobody is kept out, nothing is wider than the screen, all is in the language."""
        from axe_playwright_python.sync_playwright import Axe

        self.page.wait_for_load_state()
        path = urlsplit(self.page.url).path
        if path in self._seen and not again:
            return
        self._seen.add(path)
        for fault in Axe().run(self.page).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                self.wrong.append(f"{path}: {fault['id']} {[node['html'][:200] for node in fault['nodes'][:3]]}")
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        if wide > self.size["width"]:
            self.wrong.append(f"{path} is {wide} pixels wide")
        if self.lang == "zh":
            self.wrong += [f"{path} says in English: {text}" for text in self.page.evaluate(ENGLISH)]

    def ends(self) -> None:
        self.look(again=True)
        self.context.close()
        assert not self.wrong, "\n".join(dict.fromkeys(self.wrong))
