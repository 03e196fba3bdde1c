"""Shares the machine's cores out among attempts that may use only some of them."""

from collections.abc import Sequence

from leoflow.runtime import processes


class Cores:
    """Gives an attempt with a limit the cores that the fewest such attempts have.

    Args:
        available: the cores there are; by default those this process may run on, none where the system does not tell.
    """

    def __init__(self, available: Sequence[int] | None = None) -> None:
        self._users = dict.fromkeys(processes.cores() if available is None else available, 0)

    @property
    def can_limit(self) -> bool:
        """Whether processes can be kept to some of the cores here."""
        return bool(self._users)

    def take(self, wanted: int | None) -> list[int]:
        """Return the cores of an attempt; none when it has no limit, or one that is not below what there is."""
        if wanted is None or wanted >= len(self._users):
            return []
        chosen = sorted(self._users, key=lambda core: (self._users[core], core))[:wanted]
        for core in chosen:
            self._users[core] += 1
        return chosen

    def give_back(self, cores: Sequence[int]) -> None:
        """Take back what `take` gave."""
        for core in cores:
            self._users[core] -= 1
