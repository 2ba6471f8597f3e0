"""``python -m tests.fuzz.instrumented TARGET CORPUS [options of libFuzzer]``, for ``guided``."""

import sys

import atheris  # type: ignore[import-untyped,unused-ignore]

with atheris.instrument_imports(include=["appliance", "tests.fuzz"]):
    from tests.fuzz.targets import PLANTED, TARGETS


def main() -> None:
    name, *options = sys.argv[1:]
    target = PLANTED if name == "planted" else TARGETS[name]

    def once(data: bytes) -> None:
        target.run(data)  # libFuzzer wants no result

    atheris.Setup([sys.argv[0], *options], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
