"""Runs a command while a file system hangs: `unshare --user --map-root-user --mount python hanging_disk.py
DIRECTORY COMMAND...` mounts a FUSE file system at DIRECTORY whose server never answers."""

import ctypes
import os
import subprocess
import sys

directory, *command = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
server = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
if libc.mount(b"never-answers", directory.encode(), b"fuse", 6, options) != 0:
    raise OSError(ctypes.get_errno(), f"cannot mount a FUSE file system at {directory}")
sys.exit(subprocess.run(command, stdin=subprocess.DEVNULL).returncode)
