"""What must be true of a policy before it is saved, beyond its form."""

from wicket.core.errors import Invalid
from wicket.core.policy.conditions import SessionScope
from wicket.core.policy.document import PolicyDocument


def check_facts(document: PolicyDocument) -> None:
    """Raise Invalid for session conditions on facts that nobody sums up yet."""
    for number, condition in enumerate(document.session):
        if condition.scope is not SessionScope.SESSION:
            field = f"session[{number}].scope"
            raise Invalid(f"`{field}` other than `session` is not supported yet", field=field)
