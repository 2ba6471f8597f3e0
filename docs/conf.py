"""The manual: the pages of this repository as one site that reads without a network.  ``make docs`` builds it.

Nothing in it depends on when or where it was built: its bytes are locked like those of any artifact.
"""

project = "appliance"
project_copyright = "the appliance authors"
extensions = ["myst_parser"]
include_patterns = ["*.md", "docs/**.md", "tests/corpus/README.md", "ansible/appliance_site/roles/*/README.md"]
root_doc = "docs/index"
myst_heading_anchors = 4
html_theme = "furo"
html_title = "appliance"
html_copy_source = False
html_show_sphinx = False
html_additional_pages = {"index": "begin.html"}
templates_path = ["_templates"]
