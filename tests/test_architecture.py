"""Who may know whom: the import directions of the plan, and what a person meets first."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import karat

ROOT = Path(karat.__file__).parent

# What each room may import of ours, beside itself and errors. A room is a folder, or a file at the top.
MAY: dict[str, set[str]] = {
    "errors": set(),
    "limits": set(),
    "space": set(),
    "views": set(),
    "words": set(),
    "languages": {"words"},
    "events": set(),
    "trackers": {"events"},
    "nets": {"space", "stats"},
    "stats": {"space"},
    "privacy": set(),
    "families": {"space", "nets", "stats", "privacy"},
    "content": {"space", "views", "privacy", "output", "cache", "provenance"},
    "data": {"space", "views", "content", "privacy", "words"},
    "training": {"space", "events", "nets", "families", "cache", "output"},
    "assays": {"space", "views", "words", "cache", "output"},
    "worth": {"assays", "words", "languages", "chain", "provenance"},
    "report": {"assays", "worth", "words", "languages", "output", "provenance"},
    "provenance": set(),
    "output": {"provenance"},
    "cache": {"output"},
    "run": {"output"},
    "options": {"run"},
    "recipe": {"space"},
    "request": {"families"},
    "terminal": set(),
    "review": {"assays", "chain", "content", "output", "terminal", "words", "worth"},
    "trust": {"output", "run"},
    "chain": {"output", "trust"},
    "synthesizer": {
        *("space", "stats", "views", "content", "data", "families", "privacy", "recipe", "request", "run", "training")
    },
    "curation": {"assays", "content", "data", "request", "run", "space", "stats", "views"},
    "watermarks": {"content", "request", "run", "space", "synthesizer"},
    "workflow": {
        *(
            "assays",
            "cache",
            "chain",
            "content",
            "curation",
            "data",
            "events",
            "families",
            "languages",
            "options",
            "output",
            "privacy",
            "provenance",
            "recipe",
            "report",
            "review",
        ),
        *("request", "run", "space", "synthesizer", "trackers", "training", "trust", "views", "watermarks"),
        *("words", "worth"),
    },
    "verbs": {
        "curation",
        "languages",
        "options",
        "output",
        "provenance",
        "report",
        "review",
        "run",
        "server",
        "studio",
        "synthesizer",
        "terminal",
        "training",
        "trust",
        "workflow",
        "worth",
    },
    "server": {
        *("content", "curation", "limits", "options", "output", "provenance", "request", "run", "synthesizer", "trust"),
        *("workflow", "worth"),
        "verbs",  # which a job runs
    },
    "studio": {
        "events",  # notices
        "training",  # diagnostics of a history while it grows
        "curation",  # what its gates say of what they dropped
        "request",  # of things to look at, which are not kept
        *("assays", "content", "data", "languages", "options", "output", "provenance", "recipe", "report", "review"),
        *("run", "server", "synthesizer", "words", "workflow", "worth"),
    },
    "cli": {"terminal", "verbs"},  # the verbs by their names, so that help imports nothing heavy
    "__init__": {"verbs"},
    "__main__": {"cli"},
}

LINES, FUNCTION, SIDE_BY_SIDE, BRANCHES = 500, 60, 15, 6
# What is still longer; the lists may only get shorter.
LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()

# Kinds of content, of points and of views, by which only some rooms may branch.
KINDS = {
    *("Images", "Sounds", "Texts", "Tables", "Related", "Grid", "Fields", "Codes", "Tokens"),
    *("Points", "TableView", "TextView", "DatabaseView"),
}
BY_KIND = ("content/", "nets/", "stats/", "families/", "assays/evaluation.py", "assays/references/__init__.py")


def room(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> frozenset[str]:
    """Rooms that the file imports, at the top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "karat"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "karat":
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path} imports relatively"
    rooms = {name.split(".")[1] for name in found if "." in name}
    # not karat.__version__
    return frozenset(r for r in rooms if (ROOT / r).is_dir() or (ROOT / f"{r}.py").is_file())


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_imports_only_what_its_room_may_know(path: Path) -> None:
    mine = room(path)
    known = imports(path) - {mine, "errors", "limits"}
    assert mine in MAY, f"{mine} is no room of the plan: say in MAY what it may know"
    assert known <= MAY[mine], f"{mine} must not know {known - MAY[mine]}"


def test_every_room_of_the_plan_is_there() -> None:
    assert set(MAY) == {room(p) for p in FILES}


@pytest.mark.parametrize("name", MAY)
def test_no_room_may_know_more_than_it_does(name: str) -> None:
    knows = {other for path in FILES if room(path) == name for other in imports(path)}
    assert MAY[name] <= knows, f"{name} knows nothing of {MAY[name] - knows}: take them out of MAY"


def modules(path: Path, known: set[str]) -> set[str]:
    """Modules that the file imports, for types and inside functions too; the version in `karat` itself aside."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            named = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in known else node.module for name in named}
    return found & known - {"karat"}


def test_no_file_knows_one_that_knows_it_back_not_even_for_types() -> None:
    names = {path: ".".join(path.relative_to(ROOT.parent).with_suffix("").parts) for path in FILES}
    names = {path: name.removesuffix(".__init__") for path, name in names.items()}
    graph = {name: modules(path, set(names.values())) for path, name in names.items()}
    assert sum(map(len, graph.values())) > 500
    TopologicalSorter(graph).prepare()  # CycleError names the files of a circle


def test_no_file_is_long() -> None:
    long = {str(p.relative_to(ROOT)) for p in FILES if len(p.read_text(encoding="utf-8").splitlines()) > LINES}
    assert long == LONG_FILES


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_no_test_and_no_benchmark_is_long(folder: str) -> None:
    found = list((Path(__file__).parents[1] / folder).rglob("*.py"))
    assert len(found) > 20
    assert [str(p) for p in found if len(p.read_text(encoding="utf-8").splitlines()) > LINES] == []


def test_no_function_is_long() -> None:
    long = set()
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno + 1 > FUNCTION:
                    long.add(f"{path.relative_to(ROOT)}:{node.name}")
    assert long == LONG_FUNCTIONS


def test_no_folder_holds_many_files_side_by_side() -> None:
    for folder in {path.parent for path in FILES}:
        side_by_side = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(side_by_side) <= SIDE_BY_SIDE, f"{folder} holds {len(side_by_side)} files; divide it by what they do"


def branches_by_kind(path: Path) -> list[int]:
    """Lines of the file that ask of what kind the content is: by its type, or by its codec's name."""
    lines = set()
    for node in ast.walk(parsed(path)):
        asked: list[ast.Name | ast.Attribute] = []
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            asked = [n for n in ast.walk(node.args[1]) if isinstance(n, ast.Name | ast.Attribute)]
        elif isinstance(node, ast.match_case):
            asked = [n for n in ast.walk(node.pattern) if isinstance(n, ast.Name | ast.Attribute)]
        elif isinstance(node, ast.Compare) and ast.unparse(node.left).endswith("codec.name"):
            lines.add(node.lineno)
        if KINDS & {
            n.id if isinstance(n, ast.Name) else n.attr for n in asked if isinstance(n, ast.Name | ast.Attribute)
        }:
            lines.add(node.lineno if isinstance(node, ast.Call) else asked[0].lineno)
    return sorted(lines)


def test_hardly_a_line_outside_the_content_asks_what_kind_it_holds() -> None:
    names = [(path, path.relative_to(ROOT).as_posix()) for path in FILES]
    found = [(name, line) for path, name in names if not name.startswith(BY_KIND) for line in branches_by_kind(path)]
    assert len(found) <= BRANCHES, found


def test_a_branch_by_kind_is_seen_in_each_of_its_forms(tmp_path: Path) -> None:
    file = tmp_path / "f.py"
    file.write_text(
        "if isinstance(x, Tables): pass\nif isinstance(x, int | views.TextView): pass\nif run.codec.name == 'tables': pass\n"
        "match x:\n    case Related(): pass\n    case int(): pass\nisinstance(x, str)\n"
    )
    assert branches_by_kind(file) == [1, 2, 3, 5]


def test_a_family_never_knows_a_sibling_that_knows_it_back() -> None:
    folder = ROOT / "families"
    names = [p.stem for p in folder.glob("*.py")]
    knows = {}
    for p in folder.glob("*.py"):
        text = p.read_text(encoding="utf-8")
        knows[p.stem] = {q for q in names if f"karat.families.{q} import" in text or f"families import {q}" in text}
    assert knows["generator"] <= {"generator"}
    for name, others in knows.items():
        for other in others - {name, "generator"}:
            assert name not in knows[other], f"{name} and {other} know each other"


def test_what_a_person_meets_is_the_verbs_and_the_few_types() -> None:
    assert set(karat.__all__) == {"KaratError", "Run", "assay", "check", "demo", "key", "look", "make", "open", "train"}
    assert all(callable(getattr(karat, name)) for name in karat.__all__)


def test_using_the_judge_does_not_hide_the_verb_assay() -> None:
    __import__("karat.assays.finding")
    assert callable(karat.assay)


def test_no_file_of_ours_needs_torchvision_or_pickle() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        tree = parsed(path)
        names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not names & {"torchvision", "pickle", "cloudpickle", "dill", "joblib"}, path
        assert "allow_pickle=True" not in text and "weights_only=False" not in text, path


HELP = """
import sys
import karat, karat.cli
assert "torch" not in sys.modules, "importing karat imports torch"
try:
    karat.cli.main(["--help"])
except SystemExit as stop:
    assert not stop.code, stop.code
try:
    karat.cli.main(["train", "--help"])
except SystemExit as stop:
    assert not stop.code, stop.code
heavy = {"torch", "numpy", "sklearn", "PIL", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_scikit_learn_is_imported_only_where_it_is_used() -> None:
    """It takes more than a second of CPU, and most verbs do without it."""
    for path in FILES:
        tops = [node for node in parsed(path).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {(node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) for node in tops}
        assert not [name for name in names if (name or "").split(".")[0] == "sklearn"], path


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for verb in ("look", "train", "assay", "make", "check", "key", "demo"):
        assert verb in done.stdout
    assert "--minutes" in done.stdout


def test_no_torchvision_is_ever_loaded() -> None:
    for name in ("running", "office", "making", "probing"):
        importlib.import_module(f"karat.workflow.{name}")
    assert "torchvision" not in sys.modules


def test_no_two_files_of_tests_have_one_name() -> None:
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) == len(set(names)), "pytest imports files by their names alone"
