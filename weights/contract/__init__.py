"""The contract between the service and a model archive, specified in `weights/README.md`."""

from weights.contract.archive import archive_digest, load_archive, read_metadata, save_archive
from weights.contract.check import check_archive
from weights.contract.inference import Reconstruction, run_model
from weights.contract.metadata import CONTRACT_VERSION, ContractError, Metadata

__all__ = [
    "CONTRACT_VERSION",
    "ContractError",
    "Metadata",
    "Reconstruction",
    "archive_digest",
    "check_archive",
    "load_archive",
    "read_metadata",
    "run_model",
    "save_archive",
]
