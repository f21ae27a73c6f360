"""The question whether somebody still gets through, to whoever sits at the terminal."""

from __future__ import annotations

import select
import sys

from netfw.errors import ConflictError, ExitCode


def wait_for_answer(number: int, limit: float) -> int:
    """Ask, and keep the change or have it undone; says which. 5 where it is undone."""
    from netfw.apply.guarded import confirm
    from netfw.host.clock import since_boot
    from netfw.host.state_folder import StateFolder

    until = since_boot() + limit
    answer = ""
    try:
        question = f"still connected? Type yes within {limit:g} seconds to keep it: "
        print(question, end="", flush=True)
        if select.select([sys.stdin], [], [], max(0.0, until - since_boot()))[0]:
            answer = sys.stdin.readline().strip().lower()
    except KeyboardInterrupt:
        print()
        return take_back_now(number, "interrupted")
    if answer in ("y", "yes"):
        try:
            confirm(StateFolder(), number)
        except ConflictError as error:
            print(error.faults[0])
            return int(ExitCode.ROLLED_BACK)
        print(f"change {number} is kept")
        return int(ExitCode.OK)
    print()
    return take_back_now(number, "nobody said yes" if not answer else f"the answer was {answer!r}")


def take_back_now(number: int, why: str) -> int:
    """Undo the change that waits, if nobody has done so yet."""
    from netfw.apply.take_back import take_back
    from netfw.apply.undo import undo
    from netfw.host.pending_change import UNDOING, claim_undo, read_pending
    from netfw.host.state_folder import StateFolder
    from netfw.host.state_lock import locked

    state = StateFolder()
    claim_undo(state)
    with locked(state):
        pending = read_pending(state, UNDOING)
        if pending is not None:
            take_back(state, pending, undo, why)
    print(f"change {number} is undone: {why}")
    return int(ExitCode.ROLLED_BACK)
