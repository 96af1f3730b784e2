"""Every verb through the real command line: exit codes, and errors of a line or two with no traceback."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import Forked

import karat
from karat import cli
from karat.content.table.io import formats
from karat.run import Run
from karat.terminal import Terminal

TINY = [
    "--threads",
    "1",
    "--set",
    "train.precision=fp32",
    "--set",
    "model.latent=6",
    "--set",
    "model.width=8",
    "--set",
    "model.hidden=16",
    "--set",
    "model.components=10",
    "--set",
    "model.iterations=3",
]


def run_cli(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = 0
    try:
        cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    seen = capsys.readouterr()
    return code, seen.out, seen.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    cli.main(["train", "digits", "--steps", "60", "--out", str(folder), *TINY])
    return folder


@pytest.fixture(scope="module")
def unfinished(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as a kill before the end would leave it."""
    folder = tmp_path_factory.mktemp("runs") / "unfinished"
    shutil.copytree(trained, folder)
    for file in folder.glob("model-*"):
        file.unlink()
    Run.open(folder).update({"status": "training"})
    return folder


def test_training_says_what_it_does_and_leaves_a_run(trained: Path) -> None:
    run = Run.open(trained)
    assert run.spec["status"] == "trained" and run.spec["step"] == 60 and run.spec["precision"] == "fp32"
    assert run.spec["recipe"]["name"] == "vae", "the recipe that was used is saved, with its settings"
    assert run.spec["recipe"]["model"]["latent"] == 6
    pictures = sorted(p.name for p in (trained / "samples").glob("*.png"))
    assert pictures == [f"{k:03d}.png" for k in range(10, 101, 10)], "a picture at each tenth"
    records = run.lines("history.jsonl")
    assert records[-1]["fraction"] == 1.0 and {"critic", "sharpening", "slope/critic"} <= set(records[-1])
    assert {"nll", "divergence", "slope/autoencoder"} <= set(records[0]), "the critic comes later"
    assert (trained / "ledger.jsonl").is_file()


BAD = {
    "data that is not there": ["train", "no/such/folder", "--steps", "3"],
    "look at data that is not there": ["look", "no/such/folder"],
    "an unknown recipe": ["train", "digits", "--recipe", "difusion", "--steps", "3"],
    "two budgets": ["train", "digits", "--minutes", "1", "--steps", "3"],
    "no budget left": ["train", "digits", "--steps", "0"],
    "an unknown setting": ["train", "digits", "--steps", "3", "--set", "model.latnet=3"],
    "a setting of nothing": ["train", "digits", "--steps", "3", "--set", "latent"],
    "an unknown data setting": ["train", "digits", "--steps", "3", "--set", "data.colour=3"],
    "an unknown precision": ["train", "digits", "--steps", "3", "--set", "train.precision=fp8"],
    "an unknown clock": ["train", "digits", "--steps", "3", "--set", "train.clock=sun"],
    "an unknown device": ["train", "digits", "--steps", "3", "--device", "abacus"],
    "recipe and family": ["train", "digits", "--recipe", "vae", "--family", "x.py", "--steps", "3"],
    "a family that is not there": ["train", "digits", "--family", "x.py", "--steps", "3"],
    "an out that is a run": ["train", "digits", "--steps", "3", "--out", "RUN"],
    "an address": ["train", "https://example.org/x.zip", "--steps", "3"],
    "a seed below 0": ["train", "digits", "--steps", "3", "--seed", "-1"],
    "a seed too large": ["make", "RUN", "-n", "2", "--seed", str(2**70)],
    "a seed and a half": ["train", "digits", "--steps", "3", "--seeds", "1.5"],
    "half a record": ["make", "RUN", "-n", "2.5"],
    "no threads": ["train", "digits", "--steps", "3", "--threads", "0"],
    "no width": ["train", "digits", "--steps", "3", "--set", "model.width=0"],
    "no latents": ["train", "digits", "--steps", "3", "--set", "model.latent=-3"],
    "a rate below 0": ["train", "digits", "--steps", "3", "--set", "model.lr=-1"],
    "a rate that is no number": ["train", "digits", "--steps", "3", "--set", "model.lr=nan"],
    "betas above 1": ["train", "digits", "--steps", "3", "--set", "model.betas=[2.0, 3.0]"],
    "an average above 1": ["train", "digits", "--steps", "3", "--set", "train.average=2.0"],
    "no time": ["train", "digits", "--minutes", "nan"],
    "no critic turns": ["train", "digits", "--recipe", "gan", "--steps", "3", "--set", "model.critics=0"],
    "no sampling steps": ["train", "digits", "--recipe", "diffusion", "--steps", "3", "--set", "model.steps=0"],
    "no share for the autoencoder": [
        "train",
        "digits",
        "--recipe",
        "diffusion",
        "--steps",
        "3",
        "--set",
        "model.share=0",
    ],
    "cells below 0": ["train", "digits", "--recipe", "gan", "--steps", "3", "--set", "model.cells=-1"],
    "pictures too small": ["train", "digits", "--steps", "3", "--set", "data.size=1"],
    "a batch of one": ["train", "digits", "--steps", "3", "--set", "train.batch=1"],
    "prices that are not there": ["train", "digits", "--steps", "3", "--prices", "none.toml"],
    "a run that is not there": ["assay", "no/such/run"],
    "making from a run that is not there": ["make", "no/such/run"],
    "assaying nothing": ["assay"],
    "assaying half": ["assay", "--real", "digits"],
    "assaying both": ["assay", "RUN", "--real", "digits", "--made", "digits"],
    "an unknown reference": ["assay", "--real", "digits", "--made", "reference:alchemist"],
    "made that is not there": ["assay", "--real", "digits", "--made", "no/such"],
    "an unfinished run": ["make", "UNFINISHED"],
    "assaying an unfinished run": ["assay", "UNFINISHED"],
    "an unknown class": ["make", "RUN", "--class", "eleven"],
    "making none": ["make", "RUN", "-n", "0"],
    "assaying none": ["assay", "RUN", "-n", "0"],
    "a producer with spaces": ["make", "RUN", "-n", "2", "--producer", "a b"],
    "a finished run": ["train", "RUN"],
    "a finished run with less": ["train", "RUN", "--steps", "5"],
    "another kind of budget": ["train", "RUN", "--minutes", "5"],
    "another recipe for a run": ["train", "RUN", "--recipe", "gan"],
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_answered_in_a_line_or_two(
    case: str,
    trained: Path,
    unfinished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"RUN": str(trained), "UNFINISHED": str(unfinished)}
    code, out, err = run_cli(capsys, *(places.get(a, a) for a in BAD[case]))
    assert code == 2, (code, out, err)
    lines = err.strip().splitlines()
    assert 1 <= len(lines) <= 2 and lines[0].startswith("karat: ") and len(err) < 700, err
    assert "Traceback" not in out + err
    assert not list(tmp_path.rglob("karat.json")), "no run was begun"


@pytest.mark.parametrize(
    "arguments", [["train"], ["train", "digits", "--colour", "red"], ["train", "digits", "--steps", "many"], ["dance"]]
)
def test_bad_usage_is_answered_by_the_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_cli(capsys, *arguments)
    assert code == 2 and "Traceback" not in out + err and (out + err).strip()


def test_tensorboard_is_written_or_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "r"
    code, _, err = run_cli(capsys, "train", "digits", "--steps", "4", "--out", folder, "--track", "tensorboard", *TINY)
    if importlib.util.find_spec("tensorboard") is None:
        assert code == 2 and "pip install 'karat[tensorboard]'" in err and not folder.exists()
    else:
        assert code == 0 and list((folder / "tensorboard").iterdir()), err


def test_a_setting_that_is_unknown_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run_cli(capsys, "train", "digits", "--steps", "3", "--set", "model.latnet=3")
    assert code == 2 and "Did you mean model.latent?" in err


def test_an_unfinished_run_says_how_to_go_on(unfinished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run_cli(capsys, "make", unfinished)
    assert code == 2 and f"karat train {unfinished}" in err


def test_an_unfinished_run_goes_on_and_more_budget_goes_further(
    unfinished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "r"
    shutil.copytree(unfinished, folder)
    code, out, err = run_cli(capsys, "train", folder, "--threads", "1")
    assert code == 0 and "continuing at step" in out, err
    assert Run.open(folder).spec["status"] == "trained"
    code, out, err = run_cli(capsys, "train", folder, "--steps", "70", "--threads", "1")
    assert code == 0, err
    assert Run.open(folder).spec["step"] == 70


def test_data_that_changed_under_a_run_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (80, 8, 8)).astype(np.uint8)
    np.save(tmp_path / "x.npy", pictures)
    code, _, err = run_cli(capsys, "train", tmp_path / "x.npy", "--steps", "5", "--out", tmp_path / "r", *TINY)
    assert code == 0, err
    np.save(tmp_path / "x.npy", pictures[:-1])
    for arguments in (["train", tmp_path / "r", "--steps", "9"], ["assay", tmp_path / "r"]):
        code, _, err = run_cli(capsys, *arguments)
        assert code == 2 and "has changed since" in err
    (tmp_path / "x.npy").unlink()
    for arguments in (["train", tmp_path / "r", "--steps", "9"], ["assay", tmp_path / "r"]):
        code, _, err = run_cli(capsys, *arguments)
        assert code == 2 and "x.npy" in err


def test_a_requirement_that_does_not_hold_is_exit_code_one(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["assay", trained, "-n", "200", "--threads", "1", "--overwrite", "--out", tmp_path / "report"]
    code, out, err = run_cli(capsys, *common, "--require", "coverage>=2", "--require", "coverage<=2")
    assert code == 1, err
    assert "required: coverage>=2 does not hold" in out and "coverage<=2 does not" not in out
    assert (tmp_path / "report" / "report.html").is_file()
    code, _, err = run_cli(capsys, *common, "--require", "coverage is good")
    assert code == 2 and "wanted a finding, a sign and a number" in err
    code, _, err = run_cli(capsys, *common, "--require", "beauty>=1")
    assert code == 2 and "beauty" in err


def test_look_tells_what_is_in_the_data_and_what_fits(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_cli(capsys, "look", "digits", "--no-probe", "--threads", "1")
    assert code == 0, err
    assert "1,797" in out and "classes: 10" in out and "vae" in out and "diffusion" in out


def test_version_and_help() -> None:
    script = Path(sys.executable).with_name("karat")
    if not script.is_file():
        pytest.skip("the karat script is not installed beside this Python")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.strip() == karat.__version__
    done = subprocess.run([script, "make", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "--class" in done.stdout


def test_a_reader_that_goes_away_is_no_traceback(trained: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    command = ["make", str(trained), "-n", "2", "--out", str(tmp_path / "m")]
    with Forked(lambda: (os.close(reader), cli.main(command)), output=writer) as made:
        os.close(reader)
        os.close(writer)
        _, err = made.communicate()
    assert made.returncode == 141 and "Traceback" not in err, (made.returncode, err)


@pytest.mark.parametrize(
    "recipe, rates", [("vae", ["model.lr=1000"]), ("gan", ["model.lr=1000", "model.critic_lr=1000"])]
)
def test_a_training_that_diverges_says_so_and_leaves_nothing_to_make_from(
    recipe: str, rates: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [part for rate in rates for part in ("--set", rate)]
    command = [
        "train",
        "digits",
        "--recipe",
        recipe,
        "--steps",
        "60",
        "--out",
        str(tmp_path / "r"),
        "--threads",
        "1",
        *sets,
    ]
    code, _, err = run_cli(capsys, *command, "--set", "train.precision=fp32", "--set", "model.width=8")
    assert code == 2 and "Lower the rate" in err and len(err.splitlines()) == 1
    assert Run.open(tmp_path / "r").spec["status"] == "diverged"
    code, _, err = run_cli(capsys, "make", str(tmp_path / "r"))
    assert code == 2 and "not finished" in err


@pytest.mark.parametrize("verb", cli.VERBS)
def test_no_flag_says_no_twice_or_says_nothing(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    _, told, _ = run_cli(capsys, verb, "--help")
    flags = set(re.findall(r"--[a-z-]+", told))
    assert {f for f in flags if f.startswith(("--no-", "--empty"))} <= {
        "--no-probe",
        "--no-real",
        "--no-discover",
        "--no-exchange",
        "--no-studio",
    }
    assert "--no-no-real" not in flags and ("--no-probe" in flags) == (verb == "look")


def test_the_module_is_the_command_line() -> None:
    told = subprocess.run([sys.executable, "-m", "karat", "--version"], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == karat.__version__


def test_help_of_make_names_every_form_of_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    _, told, _ = run_cli(capsys, "make", "--help")
    assert [form for form in formats.made() if form not in told] == []


def test_a_name_of_one_picture_is_no_folder_for_many(
    capsys: pytest.CaptureFixture[str], trained: Path, tmp_path: Path
) -> None:
    code, _, _ = run_cli(capsys, "make", trained, "-n", 2, "--out", tmp_path / "me.png")
    assert code == 0 and not (tmp_path / "me.png").exists() and len(list((tmp_path / "me").glob("*.png"))) == 2
    code, _, _ = run_cli(capsys, "make", trained, "--out", tmp_path / "me.png")
    assert code == 0 and (tmp_path / "me.png").is_file()


def test_what_is_said_in_a_pipe_stays_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    said = "a sentence that no terminal of eighty columns holds, " * 4
    Terminal().print(said)
    assert capsys.readouterr().out == said + "\n"


def test_json_is_the_result_on_standard_output_and_the_rest_on_standard_error(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_cli(capsys, "make", trained, "-n", 2, "--out", tmp_path / "made", "--json", "--threads", 1)
    told = json.loads(out)
    assert code == 0 and told["verb"] == "make" and "made 2" in err
    assert {Path(file).parent for file in told["files"]} == {tmp_path / "made"}
    code, out, err = run_cli(capsys, "--json", "look", "digits", "--no-probe", "--threads", 1)
    assert code == 0 and json.loads(out)["count"] == 1797 and "classes: 10" in err
    code, out, err = run_cli(capsys, "look", tmp_path / "none.csv", "--json")
    assert code == 2 and out == "" and "none.csv" in err


def test_quiet_says_nothing_but_errors(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = "make", trained, "-n", 2, "--out", tmp_path / "made", "--quiet", "--threads", 1
    assert run_cli(capsys, *quiet) == (0, "", "")
    code, out, err = run_cli(capsys, *quiet)
    assert code == 2 and out == "" and "--overwrite" in err, "there already"


def test_the_exit_codes_and_the_completion_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run_cli(capsys, "--help")
    assert "Exit codes: 0" in out and "--install-completion" in out and "--quiet" in out
    script = cli.APP.generate_completion(shell="bash")
    assert "--minutes" in script and "--write-schema" in script


@pytest.mark.parametrize("verb", ["look", "train", "assay", "make"])
def test_the_shell_completes_the_data_and_the_run_by_the_names_of_files(verb: str, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("x")
    (tmp_path / "complete.sh").write_text(cli.APP.generate_completion(shell="bash"))
    typed = f"COMP_WORDS=(karat {verb} dia); COMP_CWORD=2; _karat karat dia {verb}; echo ${{COMPREPLY[@]}}"
    try:
        done = subprocess.run(["bash", "-c", f". ./complete.sh; {typed}"], cwd=tmp_path, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no bash")
    assert done.stdout.split() == ["diary.txt"], done.stderr


@pytest.mark.parametrize(("arguments", "wanted"), [(["look"], "look DATA"), (["make", "-n", "3"], "make RUN")])
def test_what_a_verb_lacks_is_named_as_its_help_names_it(
    arguments: list[str], wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run_cli(capsys, *arguments)
    assert code == 2 and f"`karat {wanted}`" in err
    code, _, err = run_cli(capsys, "look", "digits", "--size")
    assert code == 2 and "--size requires an argument" in err
