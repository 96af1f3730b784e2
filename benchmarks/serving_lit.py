"""LitServe with a run of pictures, as its guide has it, for serving.py: python benchmarks/serving_lit.py RUN PORT.

A batch is drawn by one pass with one seed for all, looked at by the gate against copies, written and labelled: the same work as
`karat serve` does, but that a picture hangs on who asked at the same time.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import litserve

from karat import synthesizer
from karat.content.codec import Block
from karat.curation.drawing import Tally
from karat.curation.gate import Candidates
from karat.options import MakeOptions
from karat.request import Request
from karat.run import Run
from karat.server.engine.drawn import Drawn
from karat.server.engine.files import files
from karat.workflow import curating
from karat.workflow.devices import choose_device
from karat.workflow.making import label_of


class Pictures(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:
        self.run = Run.open(Path(sys.argv[1]))
        self.synth = synthesizer.load(self.run, choose_device("cpu"))
        self.usual = curating.Usual.of(self.run)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # whose annotation LitServe would read
        return int(request["seed"])

    def predict(self, seeds: list[int]) -> list[Block]:
        block = self.synth.draw(Request(len(seeds), seeds[0]))
        self.usual.copies.reasons(Candidates(self.synth.codec, block))
        return [Block(block.records[i : i + 1], None) for i in range(len(seeds))]

    def unbatch(self, output: list[Block]) -> list[Block]:
        return output

    def encode_response(self, block: Block) -> dict[str, Any]:
        options = MakeOptions("")
        label = label_of(self.run, options)
        drawn = Drawn(self.run.path.name, self.run, self.synth.codec, Request(), options, (block,), label, Tally())
        return {"data": [{"b64_json": base64.b64encode(files(drawn, ".png")[0].content).decode()}]}


if __name__ == "__main__":
    api = Pictures(max_batch_size=64, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
