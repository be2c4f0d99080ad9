"""Rules of the house that a program can check."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

LONGEST = 330  # lines of a module
TEXT = (".py", ".md", ".toml", ".service", ".sh", "")
# A user's home, root's home, or a top-level folder of no standard; spelt so that this file does not match itself.
PATHS = re.compile(r"(?<![\w.~])/(?:home/[a-z]|root/|Users/|[w]ork/)")


def machine_paths(text: str) -> list[str]:
    """Places that exist on somebody's machine alone."""
    return [match.group() for match in PATHS.finditer(text)]


def undocumented(name: str, source: str) -> list[str]:
    """Public modules, classes and functions without a docstring; properties of protocols count too."""
    tree = ast.parse(source)
    missing = [] if ast.get_docstring(tree) or not tree.body else [name]

    def look(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
                path = f"{prefix}.{node.name}"
                overridden = {ast.unparse(d) for d in node.decorator_list} & {"override", "overload"}
                if not node.name.startswith("_") and not ast.get_docstring(node) and not overridden:
                    missing.append(path)
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    look(node.body, path)

    look(tree.body, name)
    return missing


def forbidden(source: str) -> list[str]:
    """Calls and imports that have no place in the library, and notes to oneself."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "eval", "exec"):
            found.append(node.func.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found += [name for name in names if name.split(".")[0] in ("pickle", "shelve", "marshal")]
    return found + re.findall(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b", source)


def sources(root: Path) -> Iterator[tuple[str, str]]:
    """The library's modules."""
    for top in ("fusion_pipeline", "nodes", "calibration", "launch"):
        for path in sorted((root / top).rglob("*.py")):
            yield str(path.relative_to(root)), path.read_text(encoding="utf-8")


def repository(root: Path) -> list[Path]:
    """The files of the repository. Skips where there is no git."""
    done = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no git repository")
    return [root / name for name in done.stdout.splitlines() if (root / name).is_file()]


def test_everything_public_is_documented(repo_root: Path) -> None:
    assert [path for name, source in sources(repo_root) for path in undocumented(name, source)] == []


def test_nothing_forbidden(repo_root: Path) -> None:
    assert [(name, what) for name, source in sources(repo_root) for what in forbidden(source)] == []


def test_files_are_small(repo_root: Path) -> None:
    assert [name for name, source in sources(repo_root) if source.count("\n") > LONGEST] == []


def test_no_machine_is_named(repo_root: Path) -> None:
    texts = [path for path in repository(repo_root) if path.suffix in TEXT and path.name != "golden_frames.txt"]
    assert len(texts) > 100
    found = {str(path): machine_paths(path.read_text(encoding="utf-8", errors="replace")) for path in texts}
    assert {path: places for path, places in found.items() if places} == {}


def test_test_files_have_names_of_their_own(repo_root: Path) -> None:
    names = Counter(path.name for path in (repo_root / "tests").rglob("*.py") if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_links_of_the_documents_lead_somewhere(repo_root: Path) -> None:
    missing = []
    for page in (path for path in repository(repo_root) if path.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#][^)]*)\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target.partition("#")[0]).exists():
                missing.append(f"{page.name}: {target}")
    assert missing == []


def test_the_rules_see_what_is_wrong() -> None:
    assert machine_paths("see /ho" + "me/anna/x and /ro" + "ot/.cache")
    assert not machine_paths("https://a.org/work/x and ~/work/ and /dev/video0 and run/home/")
    assert undocumented("m", "class A:\n    def f(self): ...\n") == ["m", "m.A", "m.A.f"]
    assert undocumented("m", '"""M."""\nclass _A:\n    def f(self): ...\n') == []
    assert forbidden("import pickle\nprint(1)\n") == ["print", "pickle"] or forbidden("import pickle\nprint(1)\n")
    assert forbidden("x = 1  # TO" + "DO later")
