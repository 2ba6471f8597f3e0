"""A counter in a TPM 2.0, by four commands that are spoken to the device itself.

A bare host has no tpm2-tools, and what is needed of a TPM fits on a page: NV_DefineSpace,
NV_Increment, NV_Read and NV_ReadPublic of the Trusted Platform Module Library, Part 3.
The device is /dev/tpmrm0, or the Unix socket of an emulator, which takes the same bytes.

A counter that was removed and defined again goes on above the highest value that any
counter of the TPM has ever had (Part 1, NV counters), so it cannot be set back.
"""

import os
import socket
import stat
import struct
import time
from pathlib import Path

from appliance.errors import BadInput
from appliance.model.counter import Reading
from appliance.model.limits import MAX_JSON_INTEGER

# Of the handles for NV indexes, those for the owner's use (TCG Registry of Reserved TPM 2.0 Handles).
FIRST_INDEX, INDEXES = 0x01800000, 0x400000

_NO_SESSIONS, _SESSIONS = 0x8001, 0x8002
_DEFINE_SPACE, _INCREMENT, _READ, _READ_PUBLIC = 0x12A, 0x134, 0x14E, 0x169
_OWNER, _SHA256, _COUNTER_SIZE = 0x40000001, 0x000B, 8
# TPMA_NV: written and read by the owner, no lockout for wrong passwords, and for the counter its type.
_PLAIN = 1 << 1 | 1 << 17 | 1 << 25
_COUNTER = _PLAIN | 1 << 4
_WRITTEN = 1 << 29
# An empty password: TPM_RS_PW, no nonce, no attributes, no password.
_PASSWORD = struct.pack(">IHBH", 0x40000009, 0, 0, 0)

_OK, _NO_INDEX, _DEFINED = 0x000, 0x18B, 0x14C
_WAIT = (0x908, 0x90A, 0x920, 0x922)  # yielded, testing, NV rate, retry
_MAX_WAIT = 30.0  # seconds
_HEADER, _LONGEST = 10, 4096
_REASONS = {
    0x9A2: "the owner's password is not empty",
    0x98E: "the owner's password is not empty",
    0x921: "it is locked after wrong passwords",
    0x14B: "it has no space left",
}


class TpmCounter:
    """The counter with the NV index ``index``; the index above says that it is binding.

    Every method raises BadInput (``tpm-unusable``).
    """

    def __init__(self, device: Path, index: int) -> None:
        self._device = device
        self._index = index
        self._marker = index + 1

    def read(self) -> Reading | None:
        """The value, or None where the counter was never started."""
        attributes = self._attributes(self._index)
        if attributes is None or not attributes & _WRITTEN:
            return None
        if attributes != _COUNTER | _WRITTEN:
            raise self._unusable(f"its NV index {self._index:#x} belongs to somebody else")
        return Reading(self._value(), self._attributes(self._marker) is not None)

    def start(self) -> int:
        """Make the counter; returns its first value, which the TPM alone knows before."""
        self._define(self._index, _COUNTER)
        return self.increment()

    def increment(self) -> int:
        """Raise it by one; returns the new value."""
        self._command(_INCREMENT, struct.pack(">II", _OWNER, self._index), b"")
        return self._value()

    def bind(self) -> None:
        """From now on only a state that names the value is good."""
        self._define(self._marker, _PLAIN)

    def _define(self, index: int, attributes: int) -> None:
        public = struct.pack(">IHIHH", index, _SHA256, attributes, 0, _COUNTER_SIZE)
        parameters = struct.pack(">HH", 0, len(public)) + public
        self._command(_DEFINE_SPACE, struct.pack(">I", _OWNER), parameters, accepted=(_OK, _DEFINED))

    def _value(self) -> int:
        answer = self._command(_READ, struct.pack(">II", _OWNER, self._index), struct.pack(">HH", _COUNTER_SIZE, 0))
        _, size, value = self._unpack(">IHQ", answer)  # the size of all parameters, then of this one
        if size != _COUNTER_SIZE or value > MAX_JSON_INTEGER:
            raise self._unusable("its answer has an unexpected form")
        return value

    def _attributes(self, index: int) -> int | None:
        code, answer = self._exchange(_NO_SESSIONS, _READ_PUBLIC, struct.pack(">I", index))
        if code == _NO_INDEX:
            return None
        if code != _OK:
            raise self._refused(_READ_PUBLIC, code)
        _, found, _, attributes = self._unpack(">HIHI", answer)
        if found != index:
            raise self._unusable("its answer has an unexpected form")
        return attributes

    def _command(self, code: int, handles: bytes, parameters: bytes, accepted: tuple[int, ...] = (_OK,)) -> bytes:
        body = handles + struct.pack(">I", len(_PASSWORD)) + _PASSWORD + parameters
        result, answer = self._exchange(_SESSIONS, code, body)
        if result not in accepted:
            raise self._refused(code, result)
        return answer

    def _exchange(self, tag: int, code: int, body: bytes) -> tuple[int, bytes]:
        deadline = time.monotonic() + _MAX_WAIT
        pause = 0.01
        while True:
            answer = self._talk(struct.pack(">HII", tag, _HEADER + len(body), code) + body)
            _, size, result = self._unpack(">HII", answer)
            if size != len(answer):
                raise self._unusable("its answer has an unexpected form")
            if result not in _WAIT or time.monotonic() > deadline:
                return result, answer[_HEADER:]
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _talk(self, command: bytes) -> bytes:
        try:
            if stat.S_ISSOCK(self._device.stat().st_mode):
                return _ask_emulator(self._device, command)
            device = os.open(self._device, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.write(device, command)
                return os.read(device, _LONGEST)  # the driver gives a whole answer
            finally:
                os.close(device)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from None

    def _unpack(self, form: str, data: bytes) -> tuple[int, ...]:
        try:
            return struct.unpack_from(form, data)
        except struct.error:
            raise self._unusable("its answer is cut off") from None

    def _refused(self, code: int, result: int) -> BadInput:
        return self._unusable(f"it answers command {code:#x} with {result:#x}" + _reason(result))

    def _unusable(self, problem: str) -> BadInput:
        return BadInput(
            "tpm-unusable",
            f"the TPM cannot be used: {problem}",
            where=str(self._device),
            hint="set it up for its owner with an empty password; or write in the policy: tpm: off",
        )


def _ask_emulator(path: Path, command: bytes) -> bytes:
    answer = b""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_MAX_WAIT)
        connection.connect(str(path))
        connection.sendall(command)
        while len(answer) < _HEADER or len(answer) < int.from_bytes(answer[2:6], "big"):
            if not (block := connection.recv(_LONGEST)):
                break
            answer += block
    return answer


def _reason(result: int) -> str:
    return f": {_REASONS[result]}" if result in _REASONS else ""
