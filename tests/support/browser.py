"""A headless Chromium that tests steer: the DevTools protocol over a pipe.

https://chromedevtools.github.io/devtools-protocol/: messages are JSON, each ended by a zero
byte; Chromium reads them from descriptor 3 and writes to 4.
"""

import base64
import json
import os
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb"),
)
_PATIENCE = 60.0  # seconds that a busy machine may take
# Tells what the page's own policy has stopped, from before its first script.
_VIOLATIONS = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) => {
    window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


@dataclass
class Page:
    """One tab; ``events`` are all that the browser has told of it, in order."""

    _commands: int
    _answers: int
    _session: str = ""
    _number: int = 0
    _rest: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        """The result of a method of the protocol; AssertionError when the browser refuses it."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": given}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _PATIENCE
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def begin(self) -> None:
        """Make a tab, and hear all that happens in it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=_VIOLATIONS)

    def go(self, address: str) -> None:
        """Open a page; its scripts have begun to run when this returns."""
        answer = self.call("Page.navigate", url=address)
        assert "errorText" not in answer, answer
        self.await_true("location.href !== 'about:blank' && document.readyState === 'complete'")

    def tell(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def await_true(self, expression: str, seconds: float = _PATIENCE) -> None:
        """Wait until an expression holds."""
        deadline = time.monotonic() + seconds
        while not self.tell(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.1)

    def resize(self, width: int, height: int, *, telephone: bool = False) -> None:
        """The size of the window, in CSS pixels."""
        scale = 2 if telephone else 1
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=telephone
        )

    def media(self, medium: str = "", **features: str) -> None:
        """Emulate a medium and features such as ``prefers_color_scheme="dark"``."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", media=medium, features=listed)

    def cut_off(self, *, now: bool = True) -> None:
        """Let no request of the page get anywhere, or let them again."""
        rates = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.call("Network.emulateNetworkConditions", offline=now, **rates)

    def picture(self, file: Path, height: int | None = None) -> None:
        """A PNG of the whole page, or of its first ``height`` pixels."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(told["data"]))

    def paper(self) -> bytes:
        """The page as PDF."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])

    def told(self, method: str) -> list[dict[str, Any]]:
        """What events of this name have said so far."""
        self.tell("0")  # what came before its answer has been read then
        return [event["params"] for event in self.events if event.get("method") == method]

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, exceptions, and what the page's policy has stopped."""
        entries = [entry["entry"] for entry in self.told("Log.entryAdded")]
        return [
            *(entry["text"] for entry in entries if entry["level"] in {"error", "warning"}),
            *(str(one["args"]) for one in self.told("Runtime.consoleAPICalled") if one["type"] in {"error", "warning"}),
            *(str(one["exceptionDetails"]) for one in self.told("Runtime.exceptionThrown")),
            *self.tell("window.violations"),
        ]

    def asked(self) -> list[str]:
        """Every address that the page has asked for."""
        return [one["request"]["url"] for one in self.told("Network.requestWillBeSent")]

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            more = os.read(self._answers, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextmanager
def browsing(home: Path, enter: Sequence[str] = (), options: Sequence[str] = ()) -> Iterator[Page]:
    """A browser with a profile of its own below ``home``, started by ``enter``, with a tab.

    ``enter`` runs a command that is added to it, such as ``nsenter --net=...``.
    """
    commands, answers = os.pipe(), os.pipe()
    words = [CHROMIUM or "chromium", *_OPTIONS, f"--user-data-dir={home / 'profile'}", *options]
    shell = f"exec {shlex.join(words)} 3<&{commands[0]} 4>&{answers[1]}"
    # What it leaves there has sockets, so the name must be short.
    temporary = tempfile.mkdtemp(prefix="chromium-")
    log = os.open(home / "browser.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    process = subprocess.Popen(
        # Not sh, which knows no descriptor of two digits.
        ["unshare", "--pid", "--fork", "--kill-child", *enter, "bash", "-c", shell],
        env={
            **{"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home), "TMPDIR": temporary},
            **{"LC_ALL": "C.UTF-8", "TZ": "UTC"},
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
        pass_fds=(commands[0], answers[1]),
    )
    for handle in (commands[0], answers[1], log):
        os.close(handle)
    try:
        page = Page(commands[1], answers[0])
        page.begin()
        yield page
    finally:
        process.kill()
        process.wait(timeout=20)
        os.close(commands[1])
        os.close(answers[0])
        shutil.rmtree(temporary, ignore_errors=True)
