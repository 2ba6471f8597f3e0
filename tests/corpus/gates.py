"""What judges content before it gets into a bundle: the commands and checks of those who build."""

from pathlib import Path

from appliance.artifacts.images.documents import Document
from appliance.errors import ApplianceError
from appliance.formats.wheel import check_wheel
from tests.corpus.builder.cases import Subject
from tests.support.in_process import ask


def judge(subject: Subject, path: Path) -> tuple[int, str]:
    """Exit code and reference for what ``write_content`` has made at ``path``."""
    if subject == "weights":
        answer = ask("lock", path, "--cache", path.parent / "cache")
        return answer.code, answer.reference
    try:
        if subject == "wheel":
            with path.open("rb") as file:
                check_wheel(file, path.name)
        else:
            Document.read(path.read_bytes(), path.name).image(path.name)
    except ApplianceError as error:
        return error.exit_code, error.reference
    return 0, ""
