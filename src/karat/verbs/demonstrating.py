"""`karat demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from karat.options import AssayOptions, DemoOptions, TrainOptions, takes_fields
from karat.verbs.assaying import assayed
from karat.verbs.entry import terminal
from karat.verbs.looking import look
from karat.verbs.making import make

if TYPE_CHECKING:
    from karat.workflow.concluding import Assay


@takes_fields(DemoOptions)
def demo(options: DemoOptions) -> Assay:
    """Look, train, make, assay and report on data that come with the install, in about a minute."""
    from karat.output import write_whole
    from karat.run import BEGUN, Draft
    from karat.training import loop
    from karat.workflow import demos, learning

    on, seed, threads, out = options.on, options.seed, options.threads, options.out
    if out is None:
        out = learning.free(Path("runs/demo" if on == "pictures" else f"runs/demo-{on}"))
    out = Path(out)
    if not (out / BEGUN).is_file():  # else one was stopped there before it was a run
        demos.clear(out)
    loop.tune_machine(threads)
    console = terminal()
    with Draft(out) as draft:
        declared = draft.claim("prices.toml")
        folder = draft.claim("data")
        folder.mkdir()
        sample = demos.prepare(on, folder)
        write_whole(declared, demos.declared(sample).encode())
        console.rule("look")
        labels = sample.options.get("labels")
        settings = [f"data.{key}={value}" for key, value in sample.options.items() if key != "labels"]
        look(sample.data, probe=False, threads=threads, labels=labels, set=settings)
        console.rule("train")
        seconds = sample.seconds if options.seconds is None else options.seconds
        run = learning.begin(
            TrainOptions(
                sample.data,
                minutes=seconds / 60,
                seed=seed,
                out=out,
                labels=labels,
                threads=threads,
                set=[*settings, *sample.settings],
            ),
            console,
            draft,
        )
    console.rule("make")
    make(run, n=sample.number, out=out / sample.file, seed=seed, threads=threads)
    console.rule("assay")
    console.print(
        f"the money is that of an example business: {sample.story} ({run.path / 'prices.toml'})", soft_wrap=True
    )
    found = assayed(AssayOptions(run, n=sample.judged, seed=seed, threads=threads))
    demos.seal(out)
    return found
