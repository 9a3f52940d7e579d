"""Settings of the whole suite."""

import os
import signal

from hypothesis import HealthCheck, settings

# No test's verdict depends on the speed of the machine; CI repeats the same examples, so that what fails there
# fails again here, and everybody else looks for new ones.
settings.register_profile(
    "wicket", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("wicket")

# Whoever runs the suite in the background of a shell has it ignore interrupts, and so would what tests start and
# interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
