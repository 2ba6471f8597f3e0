"""Files that a definition includes: read as strictly as the definition, and never through a link.

They hold artifacts and nothing else, and include nothing themselves: whoever reads a definition
knows every file that it is made of.
"""

import hashlib

from appliance.artifacts.kinds import KINDS
from appliance.errors import BadInput, NotTrusted
from appliance.model.documents.definition import DefinitionHead, IncludedHead, Includes
from appliance.model.documents.lock import IncludedFile
from appliance.model.limits import MAX_YAML
from appliance.model.progress import Silent
from appliance.steps.documents.yaml_file import YamlFile
from appliance.store.tree import Tree

_ORDINARY = "it must be an ordinary file below the definition's directory, behind no link"


def read_included(definition: YamlFile) -> dict[IncludedFile, YamlFile]:
    """What a definition includes, in its order.  Raises BadInput (``definition-*``, ``include-*``)."""
    listed = {key: value for key, value in definition.data.items() if key in Includes.model_fields}
    paths = definition.typed(Includes, listed, ()).include
    if not paths:
        return {}
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise definition.error("duplicate", f"{path} is included twice", ("include", number))
    with Tree(definition.path.parent, Silent()) as tree:
        return dict(_read(definition, tree, number, path) for number, path in enumerate(paths))


def _read(definition: YamlFile, tree: Tree, number: int, path: str) -> tuple[IncludedFile, YamlFile]:
    try:
        text = tree.read(path, MAX_YAML)
    except NotTrusted as error:
        raise BadInput(
            "include-unreadable",
            f"the included file {path} cannot be read: {error.what}",
            where=definition.place(("include", number)),
            hint=_ORDINARY,
        ) from None
    file = YamlFile.parse(tree.root / path, "include", text)
    _check_head(file)
    return IncludedFile(path=path, sha256=hashlib.sha256(text).hexdigest()), file


def _check_head(file: YamlFile) -> None:
    if not isinstance(file.data, dict):
        raise file.error("type", "an included file must be a mapping of keys", ())
    kinds = [kind.name for kind in KINDS]
    if "include" in file.data:
        what = "an included file cannot include another one"
        raise file.error("nested", what, ("include",), hint="list that file in the definition too")
    for key in file.data:
        if key in DefinitionHead.model_fields:
            what = f"an included file can hold only artifacts, so it cannot have {key!r}"
            raise file.error("unknown-key", what, (key,), hint="write it in the definition")
        if key not in ("schema", *kinds):
            raise file.unknown_key((key,), ["schema", *kinds])
    file.typed(IncludedHead, {key: value for key, value in file.data.items() if key not in kinds}, ())
