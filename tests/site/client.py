"""Asks the gateway with the stock OpenAI client, as a program of the site would.

    client.py CERTIFICATES TASK [PROMPT]

The gateway is that of the host that the environment's GATEWAY names, or of gpu1.
CERTIFICATES is a directory with client.pem and client.key, or "none"; TASK is chat,
embedding, form: a chat whose answer has to follow the JSON Schema in PROMPT, or
name: a chat with the model or adapter of that name.
Prints one line of JSON: the answer, or by whom and why it was refused, with status 0
where an answer began and did not end.  Runs with the Python of the control environment,
which has the client.
"""

import json
import math
import os
import ssl
import sys
from collections.abc import Sequence
from typing import Any

import httpx2
import openai  # type: ignore[import-not-found]  # it is in the bundle

GATEWAY = f"https://{os.environ.get('GATEWAY', 'gpu1')}/v1"
AUTHORITY = "/etc/appliance/pki/ca.pem"
SENTENCE = "The cat sits on the mat."
OTHERS = ("A feline is resting on a rug.", "Quarterly revenue grew by ten percent.")


def main(certificates: str, task: str, prompt: str = "Good morning") -> int:
    context = ssl.create_default_context(cafile=AUTHORITY)
    if certificates != "none":
        context.load_cert_chain(f"{certificates}/client.pem", f"{certificates}/client.key")
    client = openai.OpenAI(
        base_url=GATEWAY, api_key="unused", http_client=httpx2.Client(verify=context), max_retries=0, timeout=120
    )
    try:
        match task:
            case "chat":
                answer = _chat(client, prompt)
            case "form":
                answer = _form(client, json.loads(prompt))
            case "name":
                answer = _named(client, prompt)
            case _:
                answer = _compare(client)
        print(json.dumps(answer))
    except openai.APIStatusError as error:
        refusal = {"status": error.status_code, "message": error.body["message"]}
        print(json.dumps(refusal | {"id": error.response.headers["X-Request-Id"]}))
        return 1
    except openai.APIConnectionError as error:
        if isinstance(error.__cause__, httpx2.RemoteProtocolError):
            print(json.dumps({"status": 0, "message": "the answer broke off"}))
        raise
    return 0


def _chat(client: Any, prompt: str) -> dict[str, object]:
    """The answer as it came, part by part."""
    stream = client.chat.completions.create(
        model="tiny-chat", messages=[{"role": "user", "content": prompt}], max_tokens=16, stream=True
    )
    parts = [part.choices[0].delta.content or "" for part in stream if part.choices]
    return {"parts": parts, "id": stream.response.headers["X-Request-Id"]}


def _form(client: Any, schema: dict[str, Any]) -> dict[str, object]:
    """The answer as one text."""
    answer = client.chat.completions.create(
        model="tiny-chat",
        messages=[{"role": "user", "content": "Who?"}],
        max_tokens=200,
        response_format={"type": "json_schema", "json_schema": {"name": "form", "schema": schema}},
    )
    return {"text": answer.choices[0].message.content}


def _named(client: Any, name: str) -> dict[str, object]:
    """What it says to one question, always in the same way."""
    question = [{"role": "user", "content": "Hello"}]
    answer = client.chat.completions.create(model=name, messages=question, max_tokens=16, temperature=0)
    return {"model": answer.model, "text": answer.choices[0].message.content}


def _compare(client: Any) -> dict[str, object]:
    """How near two sentences are to one: the cosines of their embeddings with its own."""
    answer = client.embeddings.create(model="all-minilm-l6-v2", input=[SENTENCE, *OTHERS])
    vectors = [item.embedding for item in answer.data]
    cosines = [_cosine(vectors[0], vector) for vector in vectors[1:]]
    return {"sentence": SENTENCE, "others": dict(zip(OTHERS, cosines, strict=True))}


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
