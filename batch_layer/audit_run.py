"""An audit by itself, `slackwater batch audit`, of the served version, which it holds meanwhile; it publishes nothing.

    audit           as much as one run audits, from where the round stands
    audit --all     every part from its first bar to its last, whatever the round did

What is found wrong is written down (`slackwater.versions.audited`), and the next run makes it again. What nobody could
prove counts as proven once all that it made is found right; that is the way for a view that was made whole in a run
without a proof, which is more than a run may read.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from batch_layer.audit_parts import Found, audit_all, audit_parts, budget_of
from batch_layer.errors import BatchError
from batch_layer.spill import spilling
from slackwater.context import Context
from slackwater.versions.audited import AuditState, read_audit
from slackwater.versions.manifest import Manifest


@dataclass
class AuditRun:
    """One audit. `tell` gets what came of each step."""

    context: Context
    every: bool = False
    tell: Callable[[Found], None] = lambda _: None

    def run(self) -> tuple[Manifest, AuditState]:
        """Audit the served version: that, and what is known of its parts then.

        Raises:
            BatchError: nothing is published.
            BatchMemoryError: it needs more memory than the batch layer has.
            PointerError, ManifestError: the served version cannot be read.
        """
        name, store = f"audit-{uuid.uuid4().hex}", self.context.store
        _, current, lease = store.lease_current(name, {name})
        try:
            if current is None:
                raise BatchError("Nothing is published, so nothing can be audited.", "`slackwater batch run` is first.")
            with spilling(self.context, name) as context:
                return current, self._audit(context, current)
        finally:
            lease.release()

    def _audit(self, context: Context, current: Manifest) -> AuditState:
        state = read_audit(context.store)
        if self.every:
            for known, found in audit_all(context, current, context.views):
                state = known
                self.tell(found)
            return state
        state, steps = audit_parts(context, current, context.views, budget_of(current))
        for found in steps:
            self.tell(found)
        return state
