"""The whole application, with a recorder that refuses nothing for a busy machine.

Started as any other: `uvicorn --factory tests.interop.patient:create`.
"""

from tests.instance import PATIENT
from wicket.app import Application
from wicket.settings import load_settings


def create() -> Application:
    """For uvicorn's `factory`."""
    return Application(load_settings(), limits=PATIENT)
