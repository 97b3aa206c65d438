"""Imports the generated Python client, and uses it where generators often fail."""

from pointstream_client.api.sessions import create_session, get_result, reconstruct
from pointstream_client.models import AlignmentPoints, CreatedSession, ResultDescription

if __name__ == "__main__":
    for operation in (create_session, get_result, reconstruct):
        assert callable(operation.sync_detailed)
    for model in (AlignmentPoints, CreatedSession, ResultDescription):
        assert callable(model.from_dict)
    assert "median_error" in AlignmentPoints.__annotations__
