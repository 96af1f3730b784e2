"""A run to work with in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karat.options import AssayOptions, MakeOptions
from karat.run import Run
from karat.verbs.assaying import assayed
from karat.verbs.entry import check_seed
from karat.verbs.making import make

if TYPE_CHECKING:
    from karat.report.card import Card
    from karat.synthesizer import Synthesizer
    from karat.workflow.concluding import Assay


class Opened(Run):
    """A run to work with: what `karat.train` and `karat.open` give.

    seeds: all runs that `karat.train(..., seeds=n)` trained together, this one the first; else none.
    """

    seeds: tuple[Opened, ...] = ()

    def __repr__(self) -> str:
        learned = f"{self.spec['recipe']['name']} on {Path(self.spec['data']).name}, {self.spec['status']}"
        return f"<run {self.path}: {learned}; it has make, assay and synthesizer>"

    def make(
        self,
        n: int | None = None,
        *,
        out: str | Path | None = None,
        label: str | None = None,
        given: str | None = None,
        balance: str | None = None,
        independent: bool = False,
        prompt: str | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        stop: Sequence[str] = (),
        characters: int | None = None,
        seed: int = 0,
        device: str = "auto",
        family: str | Path | None = None,
        overwrite: bool = False,
        gate: Sequence[str] = (),
    ) -> Any:
        """New records as the content has them, or with `out` labelled files there, whose paths are returned (`karat.make`).

        Records are a frame of pandas (a table of Arrow without pandas), of related tables one by each name; pictures uint8
        or uint16 [n, height, width, channels]; text a list of strings; sound a list of waves, float32 [samples, channels] in
        [-1, 1], and their rate in Hz. `label` asks for one class; without it the classes come as often as in the data, and
        which is which is not told. Records carry no label of origin: label what you pass on. Options mean what they mean in
        `karat.make`.
        """
        options = MakeOptions(
            self,
            n=n,
            out=None if out is None else Path(out),
            label=label,
            given=given,
            balance=balance,
            independent=independent,
            prompt=prompt,
            temperature=temperature,
            top_p=top_p,
            min_p=min_p,
            stop=stop,
            characters=characters,
            seed=seed,
            device=device,
            family=family,
            overwrite=overwrite,
            gate=gate,
        )
        if out is not None:
            return make(**{f.name: getattr(options, f.name) for f in fields(options)})
        from karat.curation.drawing import Tally
        from karat.workflow import making

        check_seed(seed)
        request, synth = making.request_of(options), self.synthesizer(device, family)
        blocks = making.blocks_of(synth, self, options, request, Tally())
        return synth.codec.in_python([block.records for block in blocks])

    def assay(self, n: int = 5000, *, target: str | None = None, seed: int = 0, out: str | Path | None = None) -> Assay:
        """What it is worth: `.verdict`, `.to_dict()`, `.save("report.html")` (`karat.assay`)."""
        return assayed(AssayOptions(self, n=n, target=target, seed=seed, out=None if out is None else Path(out)))

    def card(self) -> Card:
        """A model card and a data sheet: what the newest assay in RUN/report and reviews found, and what nobody measured.

        Prints as Markdown; `.save("card.md")` or `.save("card.json")` writes it. RUN/report/card.md is the same, as of the assay.
        """
        from karat.report.card import card, report_of
        from karat.workflow.people.reviewing import reviewed_of
        from karat.worth.prices import find

        return card(
            self.spec,
            report_of(self.path / "report"),
            find(None, [self.path, Path.cwd()]),
            reviewed_of(self.path, self),
        )

    def synthesizer(self, device: str = "auto", family: str | Path | None = None) -> Synthesizer:
        """The codec with what was learned, ready to draw; RunError where the run is unfinished or damaged."""
        from karat import synthesizer
        from karat.trust import answered_for
        from karat.workflow import devices, learning

        with answered_for(self):
            learning.permit(self, family)
            return synthesizer.load(self, devices.choose_device(device))


def opened(run: Run) -> Opened:
    own = Opened(run.path, run.spec)
    own.notes = run.notes
    return own


def open_run(path: str | Path) -> Opened:
    """The run in a folder; RunError where there is none, or it is damaged."""
    return Opened.open(Path(path))
