"""The context that boot steps share: settings, paths, and the parts that one step creates and another uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.contract.events import Event, StepOutput
from backend.contract.paths import Paths
from backend.expected import Expected
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.agent.session import Session
    from backend.policy import Policy
    from backend.services.bundle import Services
    from backend.suspension.resumed import Resumed


@dataclass(slots=True)
class Boot:
    """One sandbox during boot. `services` and `policy` live on afterwards.

    If Docker's resolver is in use, `docker_servers` are the DNS servers that it queries from inside this container, and
    `docker_problem` is the reason why it cannot forward queries, "" if it can.
    """

    settings: Settings
    paths: Paths
    emit: Callable[[Event], None]
    services: Services
    policy: Policy
    docker_servers: tuple[str, ...] = ()
    docker_problem: str = ""
    agent_environment: dict[str, str] = field(default_factory=dict)
    session: Session | None = None
    awaits_turn: bool = False  # the session was started with the prompt, and no turn has begun
    cloned: bool = False  # REPO_URL has been cloned into the workspace
    resumed: Resumed | None = None  # the suspended work with which this sandbox begins
    expected: Expected = field(default_factory=Expected)

    @property
    def other_resolvers(self) -> str:
        """The remedy if names of the allowlist cannot be resolved."""
        if self.docker_problem:
            return (
                "Set CODETAINER_UPSTREAM to the IPv4 address of a resolver: Docker's resolver (127.0.0.11) forwards queries "
                f"from inside this container, and {self.docker_problem}."
            )
        asked = ", ".join(self.policy.upstreams) or "none is set"
        return f"Check that the upstream resolvers answer ({asked}), or name others with CODETAINER_UPSTREAM."

    def say(self, step: str, line: str) -> None:
        """Reports one line of a step's output. Front ends escape its control characters."""
        self.emit(StepOutput(step, line[:500]))
