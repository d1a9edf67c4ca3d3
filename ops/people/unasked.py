"""Why AFAS or Pluvo could not be asked, as a sentence of the catalogue."""

from __future__ import annotations

from clients.errors import AFAS, RemoteError
from ops.language import SENTENCES, Words


def why(error: RemoteError) -> Words | str:
    """What the failed call means; of a kind that the catalogue does not have, what the client says."""
    code = f"cause.{error.code}"
    return Words(code, system="AFAS" if error.system == AFAS else "Pluvo") if code in SENTENCES else error.message
