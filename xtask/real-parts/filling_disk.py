"""A disk of its own that fills, and is emptied: `unshare --user --map-root-user --mount python
filling_disk.py DIRECTORY STEPS COMMAND...` mounts a tmpfs of 256 MiB at DIRECTORY, and for each of the
comma-separated STEPS makes a file in it so many MiB large, then runs the command with the number of
the step appended."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

directory, steps, *command = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"tmpfs", directory.encode(), b"tmpfs", 0, b"size=256m") != 0:
    raise OSError(ctypes.get_errno(), f"cannot mount a tmpfs at {directory}")
for number, mebibytes in enumerate(steps.split(",")):
    with open(Path(directory) / "grows", "ab") as file:
        file.truncate(min(file.tell(), int(mebibytes) << 20))
        file.seek(0, os.SEEK_END)
        if missing := (int(mebibytes) << 20) - file.tell():
            os.posix_fallocate(file.fileno(), file.tell(), missing)
    done = subprocess.run([*command, str(number)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        sys.exit(done.stderr)
