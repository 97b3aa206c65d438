"""Writes the licence notices of third-party code that the program contains or loads.

`python scripts/notices.py FOLDER` writes `third-party.spdx.json` (SPDX 2.3, for programs) and
`THIRD_PARTY_NOTICES.txt` (the licence texts). They cover the linked crates, the npm packages in the
pages, and the Python packages of requirements/libtorch.in; with `--cuda` those of cuda.in, too.
What models.in names is part of no package. A licence that deny.toml does not allow is an error.
Needs cargo, Node.js, web/node_modules and .venv. The same packages give the same files.
"""

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LICENSE_FILE = re.compile(r"(licen[cs]e|copying|notice|unlicense)", re.IGNORECASE)
# Build dependencies whose content becomes part of the program: Swagger UI, Apache-2.0.
EMBEDDED = {"utoipa-swagger-ui-vendored"}
# NVIDIA's packages state their licence in a file and have no SPDX identifier.
UNLISTED = re.compile("nvidia-")


@dataclass
class Package:
    """A third-party package: its purl type, SPDX licence expression and licence texts."""

    kind: str
    name: str
    version: str
    license: str
    texts: list[str]

    @property
    def purl(self) -> str:
        """The package URL."""
        return f"pkg:{self.kind}/{self.name.replace('@', '%40')}@{self.version}"


def texts_in(folder: Path) -> list[str]:
    """The licence files of a package's folder."""
    files = sorted(path for path in folder.iterdir() if LICENSE_FILE.search(path.name))
    return [path.read_text("utf-8", "replace") for path in files if path.is_file()]


def crates() -> Iterator[Package]:
    """The crates linked into the program for this machine, without build tools and macros."""
    host = re.search(r"host: (\S+)", run("rustc", "-vV"))
    assert host is not None
    metadata = json.loads(
        run("cargo", "metadata", "--locked", "--format-version=1", "--filter-platform", host[1])
    )
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [metadata["resolve"]["root"]]
    linked = set()
    while waiting:
        current = waiting.pop()
        if current in linked or is_macro(packages[current]):
            continue
        linked.add(current)
        for dependency in nodes[current]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal or packages[dependency["pkg"]]["name"] in EMBEDDED:
                waiting.append(dependency["pkg"])
    for identifier in linked - set(metadata["workspace_members"]):
        package = packages[identifier]
        folder = Path(package["manifest_path"]).parent
        # "MIT/Apache-2.0" is the older notation of cargo.
        expression = re.sub(r"\s*/\s*", " OR ", package["license"] or "NOASSERTION")
        yield Package("cargo", package["name"], package["version"], expression, texts_in(folder))


def is_macro(package: dict[str, Any]) -> bool:
    """Whether a crate is a procedural macro, which runs only in the compiler."""
    return any("proc-macro" in target["kind"] for target in package["targets"])


def pages() -> Iterator[Package]:
    """The npm packages whose code is bundled into the pages."""
    bundled = json.loads(run("node", "web/build.mjs", "--packages"))
    for name in bundled:
        folder = ROOT / "web/node_modules" / name
        package = json.loads((folder / "package.json").read_text("utf-8"))
        yield Package("npm", name, package["version"], package["license"], texts_in(folder))


def libraries(requirements: str) -> Iterator[Package]:
    """The Python packages that contain libraries which the program loads: libtorch and CUDA."""
    pinned = (ROOT / "requirements" / requirements).read_text("utf-8")
    for name in re.findall(r"^([\w-]+)==", pinned, re.MULTILINE):
        distribution = importlib.metadata.distribution(name)
        metadata = distribution.metadata
        expression = metadata["License-Expression"] or metadata["License"] or "NOASSERTION"
        files = [file for file in distribution.files or [] if LICENSE_FILE.search(file.name)]
        texts = [Path(file.locate()).read_text("utf-8", "replace") for file in files]
        yield Package("pypi", name, distribution.version, expression, texts)


def run(*command: str) -> str:
    """The output of a command that runs in the repository's root."""
    return subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout


def is_allowed(expression: str, allowed: set[str]) -> bool:
    """Whether some choice of an SPDX expression has allowed licences only."""
    flat = re.sub(r"[()]", "", expression)
    # "(A OR B) AND C" needs C and one of A and B; no dependency nests deeper.
    return all(
        any(choice.strip() in allowed for choice in part.split(" OR "))
        for part in flat.split(" AND ")
    )


def document(packages: list[Package]) -> dict[str, Any]:
    """The SPDX document."""
    version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text("utf-8"), re.M)
    assert version is not None
    entries = [
        {
            "SPDXID": f"SPDXRef-{index}",
            "name": package.name,
            "versionInfo": package.version,
            "downloadLocation": "NOASSERTION",
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION" if UNLISTED.match(package.name) else package.license,
            "copyrightText": "NOASSERTION",
            "externalRefs": [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": package.purl,
                }
            ],
        }
        for index, package in enumerate(packages)
    ]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"pointstream-{version[1]}",
        "documentNamespace": f"https://github.com/pointstream/pointstream/spdx/{version[1]}",
        "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": ["Tool: notices.py"]},
        "packages": entries,
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": entry["SPDXID"],
            }
            for entry in entries
        ],
    }


def notices(packages: list[Package]) -> str:
    """The licence texts, each once, below the packages that have it."""
    by_text: dict[str, list[Package]] = {}
    for package in packages:
        for text in package.texts or [f"Licence: {package.license}"]:
            by_text.setdefault(text.strip(), []).append(package)
    rule = "=" * 80
    parts = [
        "\n".join(f"{one.name} {one.version} ({one.license})" for one in users) + f"\n\n{text}\n"
        for text, users in by_text.items()
    ]
    return f"\n{rule}\n".join(parts)


def main() -> None:
    """Writes both files."""
    parser = argparse.ArgumentParser(description="Writes the licence notices.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cuda", action="store_true", help="with the packages of cuda.in")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    deny = (ROOT / "deny.toml").read_text("utf-8")
    allowed = set(re.findall(r'"([^"]+)"', re.search(r"allow = \[(.*?)\]", deny, re.S)[1]))
    found = [*crates(), *pages(), *libraries("libtorch.in")]
    if arguments.cuda:
        found.extend(libraries("cuda.in"))
    packages = sorted(found, key=lambda package: package.purl)
    refused = [
        f"{package.name} {package.version}: {package.license}"
        for package in packages
        if not UNLISTED.match(package.name) and not is_allowed(package.license, allowed)
    ]
    if refused:
        sys.exit("\n".join(["licences that deny.toml does not allow:", *refused]))
    folder.mkdir(parents=True, exist_ok=True)
    spdx = json.dumps(document(packages), indent=1)
    (folder / "third-party.spdx.json").write_text(spdx + "\n", "utf-8")
    (folder / "THIRD_PARTY_NOTICES.txt").write_text(notices(packages), "utf-8")
    print(f"{len(packages)} packages: {folder}/THIRD_PARTY_NOTICES.txt, third-party.spdx.json")


if __name__ == "__main__":
    main()
