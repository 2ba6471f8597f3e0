"""Requests to the gateway that are nearly right, from a seed: lines, headers, lengths, chunks, bodies, random bytes.

Each begins as a request that the gateway takes, and is changed in one to three places.  Its
body carries a tag with the name of the client that sends it, so that whoever receives it
knows whose it is, whatever the gateway says.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

CHAT, COMPLETIONS, EMBEDDINGS, MODELS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models"


@dataclass
class Draft:
    """A request before it is bytes."""

    random: Random
    tag: str
    method: bytes
    target: bytes
    body: bytes
    version: bytes = b"HTTP/1.1"
    ending: bytes = b"\r\n"
    headers: list[bytes] = field(default_factory=lambda: [b"Host: gateway", b"Content-Type: application/json"])
    framing: bytes | None = None  # in place of the true length
    sent: bytes | None = None  # in place of the body, once it is in chunks

    def add(self, header: bytes) -> None:
        self.headers.insert(self.random.randrange(len(self.headers) + 1), header)

    def data(self) -> bytes:
        length = [f"Content-Length: {len(self.body)}".encode()] if self.framing is None else [self.framing]
        lines = [b" ".join((self.method, self.target, self.version)).rstrip(b" "), *self.headers, *filter(None, length)]
        return self.ending.join([*lines, b"", self.body if self.sent is None else self.sent])


def mutated(random: Random, client: str, number: int, prompt: str = "x") -> bytes:
    """One request of ``client``; equal generators make equal requests."""
    tag = f"{client}-{number}"
    target, model = random.choice(
        [(CHAT, "tiny-chat"), (COMPLETIONS, "tiny-chat"), (EMBEDDINGS, "mini-lm.v2"), (MODELS, "")]
    )
    asked = {"messages": [{"role": "user", "content": prompt}], "prompt": prompt, "max_tokens": 1}
    body = json.dumps({"model": model, "tag": tag, **asked}).encode() if model else b""
    draft = Draft(random, tag, b"POST" if model else b"GET", target.encode(), body)
    for change in random.choices(_CHANGES, k=random.choice((1, 1, 1, 2, 3))):
        change(draft)
    data = draft.data()
    return _spoilt(random, data) if random.random() < 0.1 else data


def _method(draft: Draft) -> None:
    draft.method = draft.random.choice(
        [
            *(b"get", b"post", b"Post", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PATCH"),
            *(b"", b" POST", b"PO\0ST", b"POST\t", b"P\xffST", b"\r\nPOST", b"\r\n\r\nGET", b"PROPFIND", b"X" * 300),
        ]
    )


def _target(draft: Draft) -> None:
    path = draft.target
    draft.target = draft.random.choice(
        [
            *(b"", b"*", b"/", b"//", path + b"/", b"/" + path, path.upper(), path + b"?x=" + path, path + b"#x"),
            *(path + b";x", path + b"%00", path + b"%20", path + b" x", path + b"\0", path + b"\t", path + b"\xff"),
            *(b"http://gateway" + path, b"https://other" + path, b"gateway:443", b"http://", b"//gateway" + path),
            *(path.replace(b"v", b"%76"), path.replace(b"/", b"%2f"), path.replace(b"/", b"\\"), b"." + path),
            *(b"/metrics/.." + path, path + b"/../../../metrics", path + b"/..", b"/v1/./models", b"/../" * 9 + path),
            *(b"/upstream/tiny-chat" + path, b"/upstream/mini-lm.v2/v1/embeddings", b"/refused", b"/failed"),
            *(b"/metrics", b"/tokenize", b"/v1/load_lora_adapter", b"/invocations", b"/health", b"/v1/responses"),
            *(path + b"?" + b"a" * 9000, b"/" + b"a" * 40000, path + b"%zz", path + b"\r\nX: y", path + b"?\xc3\x28"),
        ]
    )


def _version(draft: Draft) -> None:
    draft.version = draft.random.choice(
        [
            *(b"HTTP/1.0", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/3", b"HTTP/11", b"HTTP/1.1.1", b"http/1.1"),
            *(b"", b"HTTP/", b"HTTP/1.", b"HTTP/99999999999.1", b"HTTP/1.1 ", b"HTTP/1.1 HTTP/1.1", b"ICAP/1.0"),
        ]
    )


def _ending(draft: Draft) -> None:
    draft.ending = draft.random.choice([b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n "])


def _header(draft: Draft) -> None:
    draft.add(
        draft.random.choice(
            [
                *(b"Host: other", b"Host:", b"Host: a b", b"Host: gateway\0", b"Host: [::1", b"Host: /", b": x", b"x"),
                *(b"Connection: close", b"Connection: Upgrade\r\nUpgrade: h2c", b"Connection: X-Request-Id", b"TE: x"),
                *(b"Expect: 100-continue", b"Expect: the worst", b"Range: bytes=0-1", b"If-Match: x", b"If-Match: *"),
                *(b"If-Unmodified-Since: Sat, 29 Oct 1994 19:43:31 GMT", b"If-Modified-Since: x", b"Keep-Alive: 9" * 9),
                *(b"X-Accel-Redirect: /upstream/tiny-chat/v1/completions", b"X-Original-URL: /metrics", b"X: \0"),
                *(b"X-HTTP-Method-Override: PUT", b"X-Request-Id: chosen", b"X-Request-Id: " + b"x" * 7000),
                *(
                    b"Content-Encoding: gzip",
                    b"Content-Type: text/html",
                    b"Content_Length: 5",
                    b"Cookie: " + b"a=b;" * 99,
                ),
                *(
                    b"Authorization: Bearer x",
                    b"X-Client: alice",
                    b"X-Appliance-Client: alice",
                    b"Via: 1.1 x",
                    b"X : y",
                ),
                *(b"Long: " + b"x" * 9000, b"Long: " + b"x" * 40000, b"A: b\r\n folded", b"\xff: \xfe", b"A\tb: c"),
                b"\r\n".join(b"H%d: x" % number for number in range(500)),
            ]
        )
    )


def _no_host(draft: Draft) -> None:
    draft.headers = [header for header in draft.headers if not header.startswith(b"Host")]


def _length(draft: Draft) -> None:
    length = len(draft.body)
    draft.framing = draft.random.choice(
        [
            *(b"", b"Content-Length:", b"Content-Length: -1", b"Content-Length: +%d" % length, b"Content-Length: 0"),
            *(b"Content-Length: 0x%x" % length, b"Content-Length: %d, %d" % (length, length), b"content-length: 1"),
            *(b"Content-Length: %d" % (length // 2), b"Content-Length: %d" % (length + 7), b"Content-Length: 1e3"),
            *(b"Content-Length: %d\r\nContent-Length: %d" % (length, length), b"Content-Length: " + b"9" * 30),
            *(b"Content-Length: %d\r\nContent-Length: 0" % length, b"Content-Length : %d" % length),
            *(b"Content-Length: \0%d" % length, b"Content-Length: 99999999", b"Content-Length: %d\n" % length),
        ]
    )


def _chunks(draft: Draft) -> None:
    body = draft.body
    half = len(body) // 2
    good = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (
        half or 1,
        body[:half] or b" ",
        len(body) - half or 1,
        body[half:] or b" ",
    )
    draft.framing = draft.random.choice(
        [
            *(b"Transfer-Encoding: chunked",) * 6,
            *(b"Transfer-Encoding: Chunked", b"Transfer-Encoding:chunked ", b"Transfer-Encoding:\tchunked"),
            *(b"Transfer-Encoding : chunked", b"Transfer-Encoding: xchunked", b"Transfer-Encoding: gzip, chunked"),
            *(b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity", b"Transfer-Encoding:"),
            *(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"Transfer_Encoding: chunked"),
            *(b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"Content-Length: 4\r\nTransfer-Encoding: chunked"),
            *(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: \x0bchunked"),
        ]
    )
    size = b"%x" % len(body)
    draft.sent = draft.random.choice(
        [
            *(good,) * 6,
            *(good.replace(b"\r\n", b"\n"), good[:-2], good[:-5], good + b"X", b"0\r\n\r\n", b"\r\n", b"z\r\n"),
            *(size + b';ext="a\r\n' + body, size + b";ext=x\r\n" + body + b"\r\n0\r\nTrailer: x\r\n\r\n"),
            *(b"-1\r\n" + body, b"0x" + size + b"\r\n" + body + b"\r\n0\r\n\r\n", b"f" * 20 + b"\r\n" + body),
            *(b"fffffffffffffff\r\n" + body, b"00000000" + size + b"\r\n" + body + b"\r\n0\r\n\r\n"),
            *(size + b"\r\n" + body + b"XX0\r\n\r\n", b" " + size + b"\r\n" + body + b"\r\n0\r\n\r\n"),
        ]
    )


def _smuggled(draft: Draft) -> None:
    """Another request in the body, for whoever takes its end to be elsewhere."""
    path, model = draft.random.choice([(CHAT, "tiny-chat"), (EMBEDDINGS, "mini-lm.v2"), ("/metrics", "tiny-chat")])
    inner = json.dumps({"model": model, "tag": draft.tag}).encode()
    hidden = b"POST %s HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(inner), inner)
    draft.framing, draft.sent = draft.random.choice(
        [
            (b"Content-Length: %d\r\nTransfer-Encoding: chunked" % (5 + len(hidden)), b"0\r\n\r\n" + hidden),
            (b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden)),
            (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x", b"0\r\n\r\n" + hidden),
            (b"Transfer-Encoding: chunked", b"0\r\nX: y\r\n\r\n" + hidden),
            (b"Content-Length: 0\r\n\tfolded", hidden),
            (b"Content-Length: 0", hidden),
            (b"", hidden),
            (b"Content-Length: %d" % len(hidden), hidden),
        ]
    )


def _harmless(draft: Draft) -> None:
    """Another way to say the same, which reaches a model."""
    match draft.random.randrange(6):
        case 0:
            draft.target += draft.random.choice([b"?", b"?x=1", b"?/v1/models", b"?" + b"a" * 500])
        case 1:
            draft.add(draft.random.choice([b"Accept: */*", b"X-Role: admin", b"Connection: keep-alive", b"Empty:"]))
        case 2 if draft.body:
            size = draft.random.randint(1, len(draft.body))
            parts = [draft.body[place : place + size] for place in range(0, len(draft.body), size)]
            draft.framing = b"Transfer-Encoding: chunked"
            draft.sent = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])
        case 3:
            draft.body = draft.body.replace(b"t", b"\\u0074")
        case 4:
            draft.body = draft.body.replace(b": ", b" :\r\n\t ")
        case _:
            draft.body = draft.body.replace(b"{", b'{"prompt": "%s", ' % (b"x" * 3000))


def _model(draft: Draft) -> None:
    tag = draft.tag
    draft.body = draft.random.choice(
        [
            *(json.dumps({"model": model, "tag": tag}).encode() for model in _MODELS),
            b'{"model":"mini-lm.v2","model":"tiny-chat","tag":"%s"}' % tag.encode(),
            b'{"model":"tiny-chat","model":"mini-lm.v2","tag":"%s"}' % tag.encode(),
            b'{"mod\\u0065l":"tiny-chat","tag":"%s"}' % tag.encode(),
            b'{"__proto__":{"model":"tiny-chat"},"tag":"%s"}' % tag.encode(),
            b'{"a":{"model":"tiny-chat"},"Model":"tiny-chat","tag":"%s"}' % tag.encode(),
        ]
    )


def _json(draft: Draft) -> None:
    body = draft.body
    deep = draft.random.choice([10, 30, 31, 100, 5000])
    draft.body = draft.random.choice(
        [
            *(
                b"",
                b"null",
                b"[]",
                b"0",
                b'""',
                b"{}",
                body[:-1],
                body + b"}",
                body + body,
                b"[" + body + b"]",
                b"\0" + body,
            ),
            *(
                b"\xef\xbb\xbf" + body,
                body.decode("latin-1").encode("utf-16"),
                body.decode("latin-1").encode("utf-16-be"),
                b"\xff" * 99,
            ),
            *(body[:-1] + b',"x":NaN}', body[:-1] + b',"x":1e999}', body[:-1] + b',"x":"\\ud800"}'),
            *(body[:-1] + b',"x":"\xff"}', body[:-1] + b',"x":"\x01"}', body[:-1] + b',"x":' + b"9" * 5000 + b"}"),
            *(body[:-1] + b',"x":' + b"[" * deep + b"]" * deep + b"}", b" " * 5000 + body, b"x=" + body),
            body[:-1] + b',"x":"' + b"y" * draft.random.choice([1000, 70_000, 1024 * 1024]) + b'"}',
        ]
    )


def _spoilt(random: Random, data: bytes) -> bytes:
    """A few bytes changed, added or lost."""
    spoilt = bytearray(data)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(spoilt) or 1)
        spoilt[place : place + random.randint(0, 2)] = random.choice(
            [
                b"",
                random.randbytes(1),
                b"\0",
                b"\r\n",
                b"\n",
                b" ",
                b'"',
                b"\\",
                b"\xff\xfe",
                spoilt[place : place + 20],
            ]
        )
    return bytes(spoilt)


_MODELS = (
    *("TINY-CHAT", "Tiny-Chat", "tiny-chat ", " tiny-chat", "tiny-chat\0", "tiny-chat/../mini-lm.v2", "mini-lm.v2", ""),
    *("tiny-chat,mini-lm.v2", "*", "default", "$appliance_client", "tiny\u2010chat", "x" * 5000, "/upstream/tiny-chat"),
    *(None, 1, True, ["tiny-chat"], {"tiny-chat": 1}),
)
_CHANGES: tuple[Callable[[Draft], None], ...] = (
    *(_harmless,) * 10,
    *(_method, _target, _target, _version, _ending, _header, _header, _no_host),
    *(_length, _length, _chunks, _chunks, _smuggled, _smuggled, _model, _model, _json, _json),
)
