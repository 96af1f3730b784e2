"""A time stamp is asked of the service that was named, and holds for whoever reads the manifest."""

from __future__ import annotations

import http.server
import io
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import karat
from karat.errors import FitError
from karat.provenance.signing import Key, Trust, manifest

c2pa = pytest.importorskip("c2pa", reason="signatures want karat[sign]")
SETTINGS = """[tsa]
default_tsa = ours
[ours]
serial = serial
signer_cert = clock.pem
certs = root.pem
signer_key = clock.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
"""
PURPOSE = """extendedKeyUsage = critical, timeStamping
keyUsage = critical, digitalSignature
basicConstraints = CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class Service:
    """A time-stamping service (RFC 3161) at `address`, by `openssl ts`.   asked: the queries that came."""

    def __init__(self, place: Path) -> None:
        self.place, self.asked = place, list[bytes]()
        for name, text in (("ts.cnf", SETTINGS), ("ext", PURPOSE), ("serial", "01\n")):
            (place / name).write_text(text)
        new = "-newkey rsa:2048 -nodes -subj"
        self._run(f"req -x509 {new} /O=Test/CN=Root -keyout root.key -out root.pem -days 2")
        self._run(f"req -new {new} /O=Test/CN=Clock -keyout clock.key -out clock.csr")
        self._run(
            "x509 -req -in clock.csr -CA root.pem -CAkey root.key -CAcreateserial -out clock.pem -days 2 -extfile ext"
        )

    def _run(self, line: str) -> None:
        subprocess.run(["openssl", *line.split()], cwd=self.place, check=True, capture_output=True)

    def answer(self, query: bytes) -> bytes:
        self.asked.append(query)
        (self.place / "query").write_bytes(query)
        self._run("ts -reply -config ts.cnf -queryfile query -out reply")
        return (self.place / "reply").read_bytes()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Service, str]]:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here, by which the test answers as a time-stamping service")
    (tmp_path / "clock").mkdir()
    ours = Service(tmp_path / "clock")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            reply = ours.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:
            return None

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield ours, f"http://127.0.0.1:{server.server_port}/stamp"
        server.shutdown()
        thread.join()


def picture() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_a_manifest_holds_the_stamp_of_the_service_that_was_named(service: tuple[Service, str], tmp_path: Path) -> None:
    ours, address = service
    karat.key(out=tmp_path / "key", name="Example Ltd")
    key, when = Key.read(tmp_path / "key"), "2026-01-01T00:00:00Z"
    plain = manifest.embed(picture(), ".png", key, {"a": 1}, "1", when, None)
    assert ours.asked == []
    stamped = manifest.embed(picture(), ".png", key, {"a": 1}, "1", when, address)
    assert len(ours.asked) == 1
    codes = []
    for blob in (plain, stamped):
        found = c2pa.Reader("image/png", io.BytesIO(blob)).get_validation_results()["activeManifest"]
        codes.append({one["code"] for part in ("success", "informational", "failure") for one in found.get(part, ())})
    assert "timeStamp.validated" in codes[1] - codes[0]
    (tmp_path / "a.png").write_bytes(stamped)
    signature, says = manifest.read_manifest(tmp_path / "a.png", Trust.of([tmp_path / "key"])) or (None, None)
    assert signature is not None and signature.state == "trusted" and says == {"a": 1}


def test_a_service_that_does_not_answer_leaves_nothing_signed(tmp_path: Path) -> None:
    karat.key(out=tmp_path / "key", name="Example Ltd")
    with pytest.raises(FitError, match="cannot be signed"):
        manifest.embed(
            picture(), ".png", Key.read(tmp_path / "key"), {}, "1", "2026-01-01T00:00:00Z", "http://127.0.0.1:9"
        )
