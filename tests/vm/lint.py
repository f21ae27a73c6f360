"""What can be said of the Vagrantfile without any machine: ``ruby -c`` and ``vagrant validate``.

Prints ``skipped: ...`` and succeeds where vagrant is not installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

from tests.vm.python_files import ROOT

COMMANDS = (("ruby", "-c", "Vagrantfile"), ("vagrant", "validate"))


def main() -> int:
    """The status of the first command that has something to say."""
    missing = [argv[0] for argv in COMMANDS if shutil.which(argv[0]) is None]
    if missing:
        print(f"skipped: Vagrantfile not checked: no {' and no '.join(missing)} on this machine")
        return 0
    with tempfile.TemporaryDirectory(prefix="vagrant-lint-") as scratch:
        own = ("VAGRANT_HOME", "VAGRANT_DOTFILE_PATH")
        settings = {**os.environ, **{name: f"{scratch}/{name}" for name in own}}
        for argv in COMMANDS:
            done = subprocess.run(
                argv,
                cwd=ROOT / "vagrant",
                env={**settings, "VAGRANT_CHECKPOINT_DISABLE": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                print(f"$ {' '.join(argv)}\n{done.stdout}{done.stderr}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
