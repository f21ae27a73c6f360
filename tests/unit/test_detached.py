"""What is started to outlive its starter; what systemd itself does with it is not shown here."""

from netfw.host.detached import systemd_command


def test_systemd_is_asked_for_a_service_that_goes_when_it_ends_and_holds_up_no_shutdown() -> None:
    assert systemd_command(["python", "-m", "x", "1"], "netfw-guard-7-1", {"PATH": "/bin"}) == [
        *("systemd-run", "--quiet", "--collect", "--unit=netfw-guard-7-1"),
        *("--working-directory=/", "--property=TimeoutStopSec=5s"),
        *("--property=OOMScoreAdjust=-900", "--setenv=PATH=/bin"),
        *("--", "python", "-m", "x", "1"),
    ]
