"""Fetches the browser files of the API pages and GraphiQL from npm, or checks those committed.

    python3 scripts/vendor_assets.py            fetch, verify, write the files and their manifests
    python3 scripts/vendor_assets.py --check    compare the files with the manifests, no network

The archives are pinned by version and hash, and their files stay as they were published, so that
anybody can compare them. Must never run anything that an archive brings along.
"""

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = "manifest.json"


@dataclass(frozen=True, eq=False)
class Archive:
    """One npm package. `integrity` is npm's word for base64 of the archive's SHA-512; `files` are
    paths in the archive and the names they get here."""

    name: str
    version: str
    integrity: str
    files: Mapping[str, str]


# Its archive carries no licence: the text lies among payment-server's own assets, from upstream.
SCALAR = Archive(
    "@scalar/api-reference",
    "1.72.1",
    "sha512-XpEJ0rfc/cXbCrR+iC4kK0o/WwX2dTtGQbT049OlPKAHD6IMIFdTeGz2r+M27P2EDWKyUITRm/NzlP8z2pw/Ow==",
    {"dist/browser/standalone.js": "scalar.js"},  # brings its styles along
)
SWAGGER_UI = Archive(
    "swagger-ui-dist",
    "5.35.0",
    "sha512-U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ==",
    {
        "swagger-ui-bundle.js": "swagger-ui-bundle.js",
        "swagger-ui-bundle.js.LICENSE.txt": "swagger-ui-bundle.js.LICENSE.txt",
        "swagger-ui.css": "swagger-ui.css",
        "LICENSE": "swagger-ui.LICENSE.txt",
        "NOTICE": "swagger-ui.NOTICE.txt",
    },
)
GRAPHIQL = Archive(
    "graphiql",
    "3.8.3",
    "sha512-cuPDYtXVKV86Pu5PHBX642Odi/uVEE2y1Jxq5rGO/Qy1G2lRp7ZZ7a/T30RzxhuLSWo9zUbzq0P3U49//H0Ugw==",
    {
        "graphiql.min.js": "graphiql.min.js",
        "graphiql.min.css": "graphiql.min.css",
        "LICENSE": "graphiql.LICENSE.txt",  # plugin-explorer's too: one repository
    },
)
EXPLORER = Archive(
    "@graphiql/plugin-explorer",
    "1.0.2",
    "sha512-9j+kg2UjtLZD5EBmGjeWHkoVVxtbShYg2DzbUVebibnZYZM/iMBEF4vaccXJIAm5KaomIPLx0aoNs4LbODyc3Q==",
    {
        "dist/index.umd.js": "graphiql-plugin-explorer.js",
        "dist/style.css": "graphiql-plugin-explorer.css",
    },
)
# Compiled into plugin-explorer, which leaves its licence out.
ONEGRAPH_EXPLORER = Archive(
    "graphiql-explorer",
    "0.9.0",
    "sha512-fZC/wsuatqiQDO2otchxriFO0LaWIo/ovF/CQJ1yOudmY0P7pzDiP+l9CEHUiWbizk3e99x6DQG4XG1VxA+d6A==",
    {"LICENSE": "graphiql-explorer.LICENSE.txt"},
)
# GraphiQL 3 takes React 18, the last one with files for a plain script element.
REACT = Archive(
    "react",
    "18.2.0",
    "sha512-/3IjMdb2L9QbBdWiW5e3P2/npwMBaU9mHCSCUzNln0ZCYbcfTsGbTJrU/kGemdH2IWmB2ioZ+zkxtmq6g09fGQ==",
    {"umd/react.production.min.js": "react.js", "LICENSE": "react.LICENSE.txt"},
)
REACT_DOM = Archive(
    "react-dom",
    "18.2.0",
    "sha512-6IMTriUmvsjHUjNtEDudZfuDQUoWXVxKHhlEGSk81n4YFS+r/Kl99wXiwlVXtPBtJenozv2P+hxDsw9eA7Xo6g==",
    {"umd/react-dom.production.min.js": "react-dom.js", "LICENSE": "react-dom.LICENSE.txt"},
)

FOLDERS: Mapping[Path, tuple[Archive, ...]] = {
    ROOT / "packages/payment-server/src/payment_server/api/assets/vendor": (SCALAR, SWAGGER_UI),
    ROOT / "packages/requestor-mock/src/requestor_mock/assets/vendor": (
        SWAGGER_UI,
        GRAPHIQL,
        EXPLORER,
        ONEGRAPH_EXPLORER,
        REACT,
        REACT_DOM,
    ),
}


def fetch(archive: Archive) -> dict[str, bytes]:
    """The chosen files by their names here; SystemExit where the archive is not the pinned one."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", "--silent", "--ignore-scripts", f"{archive.name}@{archive.version}"],  # noqa: S607  (wherever npm is installed)
            cwd=folder,
            check=True,
        )
        (packed,) = Path(folder).iterdir()
        digest = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != archive.integrity:
            raise SystemExit(
                f"{archive.name} has another hash than the pinned one: sha512-{digest}"
            )
        with tarfile.open(packed) as tar:
            return {name: read(tar, f"package/{path}") for path, name in archive.files.items()}


def read(tar: tarfile.TarFile, member: str) -> bytes:
    """The bytes of a plain file in the archive; SystemExit where the path is something else."""
    stream = tar.extractfile(member)
    if stream is None:
        raise SystemExit(f"{member} is not a plain file")
    return stream.read()


def write(folder: Path, fetched: Mapping[Archive, dict[str, bytes]]) -> None:
    """Replaces what is in the folder by the archives' files and the manifest that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    entries = []
    for archive, files in fetched.items():
        for name, content in files.items():
            (folder / name).write_bytes(content)
            sha256 = hashlib.sha256(content).hexdigest()
            entry = {"file": name, "bytes": len(content), "sha256": sha256}
            entries.append({"package": archive.name, "version": archive.version, **entry})
    (folder / MANIFEST).write_text(json.dumps(entries, indent=1) + "\n")


def deviations(folder: Path) -> list[str]:
    """A sentence for every file that is not what the folder's manifest says it is."""
    entries = json.loads((folder / MANIFEST).read_text())
    expected = {entry["file"]: entry["sha256"] for entry in entries}
    present = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != MANIFEST
    }
    return [
        f"{folder / name} is missing, changed or not in the manifest"
        for name in sorted(expected.keys() | present.keys())
        if expected.get(name) != present.get(name)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetches or checks the pages' browser files")
    parser.add_argument("--check", action="store_true", help="compare instead of fetching")
    if parser.parse_args().check:
        found = [line for folder in FOLDERS for line in deviations(folder)]
        print("\n".join(found), file=sys.stderr, end="\n" if found else "")
        return 1 if found else 0
    wanted = dict.fromkeys(archive for archives in FOLDERS.values() for archive in archives)
    fetched = {archive: fetch(archive) for archive in wanted}
    for folder, archives in FOLDERS.items():
        write(folder, {archive: fetched[archive] for archive in archives})
    return 0


if __name__ == "__main__":
    sys.exit(main())
