"""Trying a change in a twin of this host, for the verbs that do so."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from netfw.errors import ExitCode, NetfwError

if TYPE_CHECKING:
    from netfw.apply.application import Rehearse
    from netfw.apply.intention import Intention
    from netfw.apply.rehearsal import Rehearsal
    from netfw.compiler.compiled import Compiled
    from netfw.policy.model import Policy


class RehearsedError(NetfwError):
    """In a twin of this host a change did not do what it should: nothing was written."""

    exit_code = ExitCode.DIFFERENCES


def rehearse_intention(judged: tuple[Policy, Compiled] | None, intention: Intention) -> Rehearsal:
    """Try what is intended, with the SSH connection that this process came by.

    Raises as ``rehearse``.
    """
    from netfw.apply.rehearse import Trial, rehearse
    from netfw.host.caller import ssh_connection
    from netfw.host.live_namespace import LiveNamespace
    from netfw.host.twin_connection import parse_ssh_connection

    connection = ssh_connection()
    ends = None if connection is None else parse_ssh_connection(" ".join(map(str, connection)))
    trial = Trial(
        intention.variant.backend,
        intention.wish.own,
        judged,
        intention.now,
        intention.before,
        ends,
    )
    with LiveNamespace() as host:
        return rehearse(trial, host)


def rehearsal_of_connection(verb: str, *, force: bool) -> Rehearse | None:
    """A rehearsal of a change that no policy stands behind, for the sake of the SSH connection
    that this process came by; None where it came by none."""
    from netfw.host.caller import ssh_connection

    return None if ssh_connection() is None else rehearsal_before(None, verb, force=force)


def rehearsal_before(
    judged: tuple[Policy, Compiled] | None, verb: str, *, force: bool
) -> Rehearse:
    """A rehearsal that refuses what ends badly, unless that is forced: RehearsedError then.

    What it found is printed where not everything is well.
    """

    def try_out(intention: Intention) -> None:
        from netfw.report.glyphs import glyphs_for
        from netfw.report.rehearsal import rehearsal_lines
        from netfw.verify.result import Result

        print("netfw: rehearsing in a twin of this host", file=sys.stderr)
        rehearsal = rehearse_intention(judged, intention)
        if rehearsal.result is Result.AGREE:
            return
        for line in rehearsal_lines(rehearsal, glyphs_for(sys.stderr)):
            print(line, file=sys.stderr)
        if rehearsal.result is not Result.DIFFER:
            return
        if force:
            print("netfw: WRITTEN ALL THE SAME, as --force says", file=sys.stderr)
            return
        problem = "in its rehearsal this change does not do what it should"
        if rehearsal.cuts_connection:
            problem = "this change would cut the SSH connection that you are logged in by"
        more = "" if judged is None else "'netfw rehearse POLICY -v' shows all, "
        raise RehearsedError.at(verb, problem, f"nothing was written; {more}--force writes it")

    return try_out
