"""``python -m appliance_site.rehearsal``: ask every gateway for every model, as a client does.

The gateways come as JSON on standard input (``Wanted``); one line of JSON on standard
output says how many requests were answered and what went wrong.  A client whose
certificate and key lie on the depot does the asking.

A gateway is asked until it answers or ``patience`` is over, and has to show the
certificate that the site has issued to it last.  With ``--while FILE`` each is asked
again and again without patience until that file is gone, to see that others serve while
one is down.
"""

import argparse
import http.client
import json
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from pydantic import Field, ValidationError

from appliance.model.base import Strict
from appliance.model.serving.tasks import ENGINES, Engine, Task

_TIMEOUT = 120.0  # seconds for one request
_PAUSE = 1.0  # seconds


class Model(Strict):
    """A model behind a gateway."""

    name: str
    engine: Engine
    task: Task


class Client(Strict):
    """Who may ask: SHA-256 of the certificate in lower-case hexadecimal; ``models`` is None for all of its roles."""

    name: str
    fingerprint: str
    roles: tuple[str, ...]
    models: tuple[str, ...] | None = None

    def may_use(self, model: Model) -> bool:
        """Whether the gateway passes its requests on to the model."""
        return model.task in self.roles and (self.models is None or model.name in self.models)


class Gateway(Strict):
    """A gateway, where the depot reaches it, and the certificate it was issued; empty where that is not known."""

    name: str
    address: str
    port: int
    certificate: str
    clients: tuple[Client, ...]
    models: tuple[Model, ...]


class Wanted(Strict):
    """What to ask.  ``issued`` has certificates and keys of clients by name; ``patience`` is in seconds."""

    authority: str
    issued: str
    patience: float = Field(ge=0)
    gateways: tuple[Gateway, ...]


class Unanswered(Exception):
    """Why there is no answer."""


@dataclass
class Rehearsal:
    """What was answered, and what went wrong."""

    wanted: Wanted
    answered: int = 0
    problems: list[str] = field(default_factory=list)

    def all_answer(self) -> None:
        """Ask each gateway for each model until it answers or patience is over."""
        end = time.monotonic() + self.wanted.patience
        for gateway, model in self._pairs():
            self._try(gateway, model, lambda: time.monotonic() < end)

    def answer_while(self, file: Path) -> None:
        """Ask in turn, each once, as long as ``file`` is there."""
        while file.exists():
            for gateway, model in self._pairs():
                self._try(gateway, model, lambda: False)
            time.sleep(_PAUSE)

    def _pairs(self) -> Iterator[tuple[Gateway, Model]]:
        return ((gateway, model) for gateway in self.wanted.gateways for model in gateway.models)

    def _try(self, gateway: Gateway, model: Model, more: Callable[[], bool]) -> None:
        while True:
            try:
                ask(self.wanted, gateway, model)
            except Unanswered as error:
                if more():
                    time.sleep(_PAUSE)
                    continue
                self.problems.append(f"{gateway.name} does not answer for {model.name}: {error}")
            else:
                self.answered += 1
            return


def ask(wanted: Wanted, gateway: Gateway, model: Model) -> None:
    """One request on a connection of its own.  Raises Unanswered."""
    context = ssl.create_default_context(cafile=wanted.authority)
    context.load_cert_chain(*_asker(wanted, gateway, model))
    connection = http.client.HTTPSConnection(gateway.address, gateway.port, timeout=_TIMEOUT, context=context)
    try:
        connection.connect()
        _demand_newest(gateway, connection.sock.getpeercert(binary_form=True) or b"")
        form = ENGINES[model.engine][model.task]
        body = json.dumps({"model": model.name, **form.question})
        connection.request("POST", form.paths[0], body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unanswered(str(error) or type(error).__name__) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise Unanswered(f"{answer.status} {text[:300].decode(errors='replace')}")


def _asker(wanted: Wanted, gateway: Gateway, model: Model) -> tuple[Path, Path]:
    """Certificate and key of the first client that may use the model and whose key is here."""
    for client in gateway.clients:
        folder = Path(wanted.issued, client.name)
        certificate, key = folder / "client.pem", folder / "client.key"
        if client.may_use(model) and key.is_file() and _fingerprint(certificate) == client.fingerprint:
            return certificate, key
    raise Unanswered(
        f"no client of gateway_clients that may use {model.name} (role {model.task}) has its certificate and key in "
        f"{wanted.issued}"
    )


def _demand_newest(gateway: Gateway, shown: bytes) -> None:
    if not gateway.certificate:
        return
    issued = x509.load_pem_x509_certificate(Path(gateway.certificate).read_bytes())
    if x509.load_der_x509_certificate(shown) != issued:
        raise Unanswered(f"it shows another certificate than {gateway.certificate}")


def _fingerprint(path: Path) -> str:
    return x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex()


def main() -> int:
    """Exit code 0, 1 when something was not answered, or 2 with one line on standard error."""
    parser = argparse.ArgumentParser(prog="appliance_site.rehearsal", description=__doc__)
    parser.add_argument("--while", type=Path, dest="file", metavar="FILE", help="ask as long as this file exists")
    file = parser.parse_args().file
    try:
        rehearsal = Rehearsal(Wanted.model_validate_json(sys.stdin.buffer.read()))
    except ValidationError as error:
        print(f"what to rehearse cannot be read: {error}", file=sys.stderr)
        return 2
    if file is None:
        rehearsal.all_answer()
    else:
        rehearsal.answer_while(file)
    print(json.dumps({"answered": rehearsal.answered, "problems": list(dict.fromkeys(rehearsal.problems))}))
    return 1 if rehearsal.problems else 0


if __name__ == "__main__":
    sys.exit(main())
