"""Proves the judge on generators of known worth: which finding speaks of which fault, over many seeds, for any kind of data.

    python benchmarks/references.py $KARAT_DATA/images/mnist --train 2000 --unseen 1000 --made 1000 --seeds 20
    python benchmarks/references.py $KARAT_DATA/tables/adult-train.csv --set data.target=income --holdout 0.5
    python benchmarks/references.py $KARAT_DATA/text/tinyshakespeare.txt --set data.length=400 --holdout 0.5
    python benchmarks/references.py $KARAT_DATA/audio/fsdd --set "data.labels={label}_{speaker}_{n}" --holdout "n<20"

Each seed parts the records anew into those to learn from, the judge's unseen ones and those that the reference generators
may emit. Of the oracle and of the judge's own unseen records, with which nothing is wrong, whatever speaks is a false alarm.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence

import torch

from karat.assays.references.calibration import Exam, table
from karat.data import load
from karat.training import pace
from karat.workflow.calibrating import exams, without_labels
from karat.workflow.learning import data_options


def said(exam: Exam) -> str:
    blind = f"cannot tell: {', '.join(exam.blind)}" if exam.blind else "right"
    return f"WRONG: {', '.join(exam.wrong)}" if exam.wrong else blind


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="real data, anything that karat reads")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--train", type=int, help="records to learn from, at most")
    parser.add_argument(
        "--unseen", type=int, help="unseen records of the judge, at most; half of those set aside by default"
    )
    parser.add_argument("--made", type=int, help="records that each reference makes, at most")
    parser.add_argument(
        "--holdout", default="0.1", help="what is set aside, as of karat train; half of it is the source"
    )
    parser.add_argument("--set", action="append", default=[], help="a setting of the data, such as data.length=400")
    parser.add_argument("--only", action="append", help="one reference; may be given again")
    parser.add_argument("--usual", action="store_true", help="each reference at its usual strength alone")
    parser.add_argument("--unlabelled", action="store_true", help="hide the classes from the judge")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    data = load(args.data, options=data_options(args.set), holdout=args.holdout)
    data = without_labels(data) if args.unlabelled else data
    seeds = range(args.first, args.first + args.seeds)
    sizes = {"train": args.train, "unseen": args.unseen, "made": args.made}
    done: list[Exam] = []
    start = time.process_time()
    for exam in exams(data, seeds, **sizes, names=args.only, graded=not args.usual):
        done.append(exam)
        note = f"seed {exam.seed} {exam.plant.reference} {exam.plant.phrase}: {said(exam)}, {exam.seconds:.1f} CPU s"
        print(note, file=sys.stderr, flush=True)
    print(f"`python benchmarks/references.py {shlex.join(arguments or sys.argv[1:])}`\n")
    print(
        f"{pace.processor()}; seeds {seeds[0]} to {seeds[-1]}; {(time.process_time() - start) / len(done):.1f} CPU s an exam\n"
    )
    print(table(done))
    sys.exit(any(exam.wrong for exam in done))


if __name__ == "__main__":
    main()
