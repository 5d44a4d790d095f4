"""Writes ``index.html`` into a folder of wheels: links with hashes, as ``pip install --find-links`` reads them."""

import hashlib
import sys
from html import escape
from pathlib import Path


def page(folder: Path) -> str:
    """One link per wheel; pip holds what it fetches against the hash."""
    links = []
    for wheel in sorted(folder.glob("*.whl")):
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        links.append(f'<a href="{escape(wheel.name)}#sha256={digest}">{escape(wheel.name)}</a><br>')
    return "\n".join(("<!DOCTYPE html>", "<title>Ragwork's distributions</title>", *links, ""))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    (target / "index.html").write_text(page(target), encoding="utf-8")
