"""Clients that never stop asking, and write down what came of each request.

    steady.py GATEWAY RECORD

Runs on the depot with the standard library alone until it is killed.  ``operator`` may
ask both models and does so with short prompts; ``reader``, who may not chat, and nobody,
without a certificate, ask for a chat with a long one: how many long prompts a model has
seen tells whether one of them came through.  Each line of RECORD is JSON: when (seconds
since the epoch), who, task, status (0 without an answer), and the request's id.
"""

import http.client
import json
import ssl
import sys
import threading
import time
from pathlib import Path

CLIENTS = "/etc/appliance/pki/clients"
AUTHORITY = "/etc/appliance/pki/ca.pem"
LONG = "Tell me more. " * 100
CHAT = "/v1/chat/completions"
PATIENCE = 60.0  # seconds for one answer
PAUSE = 0.5  # seconds between two requests of one client
ASKED = (
    (
        "operator",
        "chat",
        CHAT,
        {"model": "tiny-chat", "max_tokens": 8, "messages": [{"role": "user", "content": "Hi"}]},
    ),
    ("operator", "embedding", "/v1/embeddings", {"model": "all-minilm-l6-v2", "input": "Good morning"}),
    ("reader", "chat", CHAT, {"model": "tiny-chat", "messages": [{"role": "user", "content": LONG}]}),
    ("nobody", "chat", CHAT, {"model": "tiny-chat", "messages": [{"role": "user", "content": LONG}]}),
)


def ask(gateway: str, who: str, path: str, body: object) -> tuple[int, str]:
    """Status and id of one request on a connection of its own; 0 and why, where nothing was answered."""
    context = ssl.create_default_context(cafile=AUTHORITY)
    if who != "nobody":
        context.load_cert_chain(f"{CLIENTS}/{who}/client.pem", f"{CLIENTS}/{who}/client.key")
    connection = http.client.HTTPSConnection(gateway, timeout=PATIENCE, context=context)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["X-Request-Id"] or ""
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error)
    finally:
        connection.close()


def main(gateway: str, record: str) -> None:
    """Ask for ever, each client in a thread of its own."""
    lock = threading.Lock()
    with Path(record).open("a", buffering=1) as lines:

        def go_on(who: str, task: str, path: str, body: object) -> None:
            while True:
                began = time.time()
                status, told = ask(gateway, who, path, body)
                line = {"time": began, "seconds": time.time() - began, "who": who, "task": task}
                with lock:
                    lines.write(json.dumps({**line, "status": status, "id": told}) + "\n")
                time.sleep(PAUSE)

        threads = [threading.Thread(target=go_on, args=asked) for asked in ASKED]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
