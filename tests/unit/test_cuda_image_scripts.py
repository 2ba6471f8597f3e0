"""What runs while the image for GPUs is built and in it: what is kept beside a compiler, and what stands for one."""

import runpy
import subprocess
from pathlib import Path

IMAGE = Path(__file__).parents[2] / "images/vllm-cuda"
# Packages by what they depend on, and by the names that they have or provide.
WANTED = {
    "base": {"libc6"},
    "libc6": set(),
    "python3": {"python3.13", "awk"},
    "python3.13": {"libc6"},
    "mawk": {"libc6"},
    "gcc": {"gcc-14", "libc6"},
    "gcc-14": {"binutils"},
    "binutils": set(),
}
BY_NAME = {**{name: {name} for name in WANTED}, "awk": {"mawk"}}


def test_what_is_needed_stays_and_a_compiler_goes() -> None:
    needed = runpy.run_path(str(IMAGE / "keep.py"))["needed"]
    assert needed({"base", "python3"}, WANTED, BY_NAME) == {"base", "libc6", "python3", "python3.13", "mawk"}
    assert needed({"gcc"}, WANTED, BY_NAME) == {"gcc", "gcc-14", "binutils", "libc6"}


def test_names_are_read_from_dpkgs_relations() -> None:
    names = runpy.run_path(str(IMAGE / "keep.py"))["_names"]
    assert names([" libc6:any (>= 2.41)", "libstdc++6", "", " python3.13 (= 3.13.5-2)"]) == [
        "libc6",
        "libstdc++6",
        "python3.13",
    ]


def test_what_stands_for_a_compiler_compiles_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "x.c", tmp_path / "x.so"
    source.write_text("int x;\n")
    done = subprocess.run(
        [IMAGE / "cc", source, "-O3", "-o", target], capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"there is no C compiler in this image, and {source} is not ")
    assert not target.exists()
