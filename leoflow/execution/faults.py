"""Errors an operation answers an attempt with, in the Task SDK's own terms."""

from typing import Any


class FaultError(Exception):
    """A typed error that travels back to the attempt.

    Args:
        kind: the SDK's error type: VARIABLE_NOT_FOUND, CONNECTION_NOT_FOUND, XCOM_NOT_FOUND, ASSET_NOT_FOUND,
            DAGRUN_ALREADY_EXISTS, PERMISSION_DENIED, API_SERVER_ERROR or GENERIC_ERROR.
        detail: what the SDK shows to the user.
        expected: True when the SDK handles the error as an answer ("no such variable"), False when it raises.
        note: a sentence for the attempt's log, where the SDK would not say what the user must know.
    """

    def __init__(
        self, kind: str, detail: dict[str, Any] | None = None, *, expected: bool = False, note: str | None = None
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.expected = expected
        self.note = note

    def body(self) -> dict[str, Any]:
        """Return the SDK's `ErrorResponse`."""
        return {"type": "ErrorResponse", "error": self.kind, "detail": self.detail}


def refused(message: str, status: int = 400, **facts: Any) -> FaultError:
    """Return the error for a request the server understood and refuses; `facts` are further fields of its detail."""
    return FaultError("API_SERVER_ERROR", {"status_code": status, "message": message, **facts})


def not_found(message: str) -> FaultError:
    """Return the error for something that does not exist and that the SDK has no type for."""
    return FaultError("API_SERVER_ERROR", {"status_code": 404, "message": message})


def not_supported(feature: str) -> FaultError:
    """Return the error for a feature this version does not have."""
    return FaultError("API_SERVER_ERROR", {"status_code": 501, "message": f"Leoflow does not support {feature} yet"})
