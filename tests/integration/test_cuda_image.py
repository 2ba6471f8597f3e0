"""The image for NVIDIA GPUs, built to the end as a user does, and tried as far as that goes without a GPU.

Needs root, the network and 26 GB of disk.  What the image does on a GPU, nothing here says.
"""

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from appliance.model.serving.profile import arguments
from appliance.model.serving.vllm_options import VLLM_VERSION
from tests.bench.gpu.models import shape, write_model
from tests.support.project import REPOSITORY, Project
from tests.support.vllm_host import MODEL, Image, run_in

pytestmark = [pytest.mark.integration, pytest.mark.long]

INCLUDED = Path("bundles/include/vllm-cuda.yaml")
DEFINITION = """\
schema: appliance.definition/v1
name: small
version: 1.0.0
description: the image for NVIDIA GPUs alone
include: [include/vllm-cuda.yaml]
"""
TOOLS = ("mmdebstrap", "buildah", "ip", "setpriv", "nm")
NEEDED = 26 * 10**9  # bytes
NO_GPU = "RuntimeError: Failed to infer device type"  # vllm/config/device.py
COMPILERS = {"gcc", "cc", "g++", "c++", "cpp", "ld", "as", "make", "ninja", "nvcc", "cicc", "clang", "tcc"}
OTHERS = {"pip", "pip3", "apt", "apt-get", "curl", "wget", "nc", "sudo"}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    if os.geteuid() != 0 or not all(map(shutil.which, TOOLS)):
        pytest.skip(f"needs root, and {', '.join(TOOLS)}")
    try:
        httpx2.head("https://pypi.org/simple/vllm/", timeout=30).raise_for_status()
    except httpx2.HTTPError as error:
        pytest.skip(f"needs the network: {error}")
    folder = tmp_path_factory.mktemp("cuda")
    if shutil.disk_usage(folder).free < NEEDED:
        pytest.skip(f"needs {NEEDED / 1e9:.0f} GB of disk below {folder}")
    try:
        yield make(folder)
    finally:
        shutil.rmtree(folder)


def make(folder: Path) -> Project:
    """A bundle of the image alone, from the files that are shipped."""
    project = Project(folder / "bundles")
    (project.folder / "include").mkdir(parents=True)
    shutil.copy(REPOSITORY / INCLUDED, project.folder / "include")
    shutil.copytree(REPOSITORY / "images/vllm-cuda", folder / "images/vllm-cuda")
    (project.folder / "small.yaml").write_text(DEFINITION)
    for words in (
        ("keys", "new", "key.pem", "--no-passphrase"),
        ("root", "new", "key.root.json", "--key", "key.pem"),
        ("lock", "small.yaml"),
        ("build", "small.yaml", "--key", "key.pem"),
    ):
        done = project.run(*words)
        assert done.returncode == 0, done.stderr
    shutil.rmtree(project.folder / "cache")  # what the bundle holds of it are links
    return project


@pytest.fixture(scope="module")
def image(built: Project) -> Image:
    return Image.unpack(built.bundle / "images", "vllm-cuda", built.folder / "root")


@pytest.fixture
def run(image: Image, tmp_path: Path) -> Run:
    """Runs a command in a container of the image as a site does, with the files of ``files``; returns what it said."""
    number = iter(range(100))
    files = tmp_path / "files"
    files.mkdir()

    def started(*command: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        done = run_in(image, files, command, tmp_path / f"run {next(number)}")
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return started


def test_what_is_in_it(built: Project, image: Image) -> None:
    (manifest,) = json.loads((built.bundle / "images/index.json").read_text())["manifests"]
    layers = json.loads((built.bundle / "images/blobs" / manifest["digest"].replace(":", "/")).read_text())["layers"]
    parts = json.loads((built.bundle / "evidence/sbom/images/vllm-cuda.cdx.json").read_text())["components"]
    kinds = Counter(part["purl"].split("/")[0] for part in parts if "purl" in part)
    print(f"\n{manifest['digest']}: {layers[0]['size']:,} bytes, {kinds}")  # docs/cuda-image.md
    names = {part["name"] for part in parts}
    assert {"vllm", "torch", "triton", "libstdc++6"} <= names
    assert not names & {"gcc", "gcc-14", "libc6-dev", "pip", "flashinfer-python", "nvidia-cuda-nvcc", "opencv"}
    assert not list(image.root.glob("usr/include/*"))


def test_it_is_for_serving_alone(image: Image) -> None:
    assert image.config["User"] == "10001:10001"
    files = [path for path in image.root.rglob("*") if path.is_file() and not path.is_symlink()]
    programs = [path.relative_to(image.root) for path in files if path.stat().st_mode & 0o111]
    stands_in = Path("usr/local/lib/vllm/cc")
    assert [path for path in programs if path.name in COMPILERS] == [stands_in]
    assert (image.root / stands_in).read_bytes() == (REPOSITORY / "images/vllm-cuda/cc").read_bytes()
    assert not {path.name for path in (image.root / "usr").rglob("bin/*")} & OTHERS
    assert not [path for path in files if path.stat().st_mode & 0o6000]


def test_its_versions_are_those_that_are_stated(run: Run, image: Image) -> None:
    program = "import json, torch, triton, vllm; print(json.dumps([vllm.__version__, torch.version.cuda]))"
    assert json.loads(run("python3", "-c", program).stdout.splitlines()[-1]) == [VLLM_VERSION, "13.0"]
    assert "CUDA_VERSION=13.0" in image.config["Env"]


def test_what_serves_can_be_imported(run: Run) -> None:
    run("python3", "-c", "import vllm.entrypoints.openai.api_server, vllm.v1.worker.gpu.model_runner")


@pytest.mark.parametrize("command", [("vllm", "--version"), ("vllm", "serve", "--help"), ()])
def test_it_starts_as_far_as_there_is_no_gpu(run: Run, image: Image, tmp_path: Path, command: tuple[str, ...]) -> None:
    chosen = shape("llama-3.1-8b")
    (tmp_path / "files").rmdir()
    write_model(chosen.model, tmp_path / "files")
    entry = [*image.config["Entrypoint"], "--model", MODEL, *arguments(chosen.profile, chosen.served)]
    assert NO_GPU in run(*(command or entry), code=1).stderr


KERNEL = """
import triton, triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

@triton.jit
def add(x, y, n, block: tl.constexpr):
    at = tl.program_id(0) * block + tl.arange(0, block)
    tl.store(y + at, tl.load(x + at, mask=at < n) + 1, mask=at < n)

source = ASTSource(add, {"x": "*fp32", "y": "*fp32", "n": "i32", "block": "constexpr"}, {"block": 128})
made = triton.compile(source, target=GPUTarget("cuda", 90, 32))
print(made.asm["cubin"][:4])
"""


def test_triton_compiles_a_kernel_without_a_compiler(run: Run, tmp_path: Path) -> None:
    (tmp_path / "files/kernel.py").write_text(KERNEL)
    assert run("python3", f"{MODEL}/kernel.py").stdout == "b'\\x7fELF'\n"


DRIVER = """
from triton.backends.nvidia.driver import CudaUtils
CudaUtils().get_device_properties(0)
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc, for a library in the driver's place")
def test_triton_takes_the_module_that_was_compiled_for_it(run: Run, image: Image, tmp_path: Path) -> None:
    """With a library in the place of the driver's, which answers as a driver does where there is no device."""
    (tmp_path / "files/driver.py").write_text(DRIVER)
    assert "libcuda.so.1: cannot open shared object file" in run("python3", f"{MODEL}/driver.py", code=1).stderr
    listed = subprocess.run(
        ["nm", "--dynamic", "--undefined-only", image.root / "usr/local/lib/vllm/cuda_utils.so"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = [line.split()[-1] for line in listed.splitlines() if line.split()[-1].startswith("cu")]
    said = 'int cuGetErrorString(int code, const char **text) { *text = "no device"; return 0; }\n'
    others = [f"int {name}(void) {{ return 100; }}\n" for name in names if name != "cuGetErrorString"]
    (tmp_path / "driver.c").write_text(said + "".join(others))
    library = image.root / "usr/lib/x86_64-linux-gnu/libcuda.so.1"
    argv = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", f"{tmp_path}/driver.c", "-o", str(library)]
    subprocess.run(argv, check=True)
    try:
        assert "Triton Error [CUDA]: no device" in run("python3", f"{MODEL}/driver.py", code=1).stderr
    finally:
        library.unlink()


def test_nothing_else_is_compiled(run: Run, tmp_path: Path) -> None:
    (tmp_path / "files/other.c").write_text("int other;\n")
    refused = run("sh", "-c", f"$CC {MODEL}/other.c -O3 -shared -o /tmp/other.so", code=1)
    assert "there is no C compiler in this image, and /srv/model/other.c is not" in refused.stderr
