"""Hooks of MkDocs: documents outside docs/ become pages, and links work as in the repository.

Links in documents are relative to the file, so that they work on the code host. On the site, a link
to a document that is a page leads there, and one to any other file to the code host.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = "docs/"
BRANCH = "main"
# Code is no link: it is matched first, and left as it is.
LINK = re.compile(
    r"(?P<code>^```.*?^```|`[^`\n]*`)|(?P<head>\]\()(?P<target>[^)\s]+)(?=\))", re.S | re.M
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the documents of the navigation that are not below docs/."""
    for name in names(config.nav):
        source = ROOT / name
        if files.get_file_from_path(name) is None and source.is_file():
            files.append(File.generated(config, name, abs_src_path=str(source)))
    return files


def names(entry: object) -> list[str]:
    """The files of a part of the navigation."""
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else []
    return [name for part in parts for name in names(part)]


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrites the links of a page."""
    generated = page.file.generated_by is not None
    here = page.file.src_uri if generated else DOCS + page.file.src_uri

    def rewritten(link: re.Match[str]) -> str:
        target = link["target"]
        if link["code"] or target.startswith(("#", "http:", "https:", "mailto:")):
            return link[0]
        path, _, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
        name = path.removeprefix(DOCS)
        if files.get_file_from_path(name) is not None and (path != name or is_page(name, files)):
            path = posixpath.relpath(name, posixpath.dirname(page.file.src_uri) or ".")
        elif (ROOT / path).exists():
            path = f"{config.repo_url}/blob/{BRANCH}/{path}"
        else:
            # MkDocs says that it is missing.
            path = target.partition("#")[0]
        return link["head"] + path + (f"#{anchor}" if anchor else "")

    return LINK.sub(rewritten, markdown)


def is_page(name: str, files: Files) -> bool:
    """Whether a document outside docs/ is a page of the site."""
    file = files.get_file_from_path(name)
    return file is not None and file.generated_by is not None
