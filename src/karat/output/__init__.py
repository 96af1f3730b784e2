"""The only writer of results: whole or absent, never over what is there, never into the data a run learned from."""

from karat.output.files import digest, foreign, make_folder, require_disk, scratch, temporary, to_json, write_whole
from karat.output.folders import Folder, goes_on
from karat.output.names import BESIDE, INSIDE, STAGE, file_name, file_names
from karat.output.results import Output
from karat.provenance.files import digest_of, read_json

__all__ = [
    "BESIDE",
    "Folder",
    "INSIDE",
    "Output",
    "STAGE",
    "digest",
    "digest_of",
    "file_name",
    "file_names",
    "foreign",
    "goes_on",
    "make_folder",
    "require_disk",
    "read_json",
    "scratch",
    "temporary",
    "to_json",
    "write_whole",
]
