"""HTTP statuses that are no answer to a request."""

from typing import Final

from wicket.core.errors import UpstreamFailed
from wicket.runtime.wire import WireResponse, broken

REDIRECTS: Final = range(300, 400)
FAILURES: Final = range(400, 600)
RETRY_AFTER_MAX_S: Final = 3_600


def failed_by(service: str, response: WireResponse) -> UpstreamFailed:
    """What the failing status of an answer, or its redirect, says."""
    status = response.status
    if status in REDIRECTS:
        why = f"it answered with a redirect (HTTP {status}), which is not followed"
        return broken(service, why, upstream_status=status)
    waits = response.headers.get(b"retry-after", b"")
    if waits.isdigit() and len(waits) <= len(str(RETRY_AFTER_MAX_S)):
        retry_after_s = min(int(waits), RETRY_AFTER_MAX_S)
        return broken(service, f"HTTP {status}", upstream_status=status, retry_after_s=retry_after_s)
    return broken(service, f"HTTP {status}", upstream_status=status)
