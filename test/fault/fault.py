#!/usr/bin/env python3
"""The disk fails now and then (EIO, ENOSPC, short writes) while clients send; then every message is accounted for.

    test/fault/fault.py --library build/debug/test/fault/faultfs.so [--binary build/release/facteur] [--rounds 60]
                        [--clients 6] [--seed N] [--keep]

A round lets one kind of call fail by chance for a moment, or each of them from the n-th on; sometimes a kill -9 comes on
top. In between all is well, and mail must be taken again by itself. Rules of the account: test/crash/load.py. A second
copy at the next hop is right here also when a fault kept its taking from being recorded.
"""
import argparse
import errno
import mmap
import os
import random
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "crash"))

import crash  # noqa: E402
import lib  # noqa: E402
import load  # noqa: E402

CALLS = {"fsync": 1, "write": 2, "rename": 4, "link": 8, "create": 16, "all": 31}
ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "short": 0}


class Control:
    """struct control of faultfs.c."""

    def __init__(self, path):
        with open(path, "wb") as out:
            out.write(b"\0" * 4096)
        os.chmod(path, 0o666)
        lib.give(path)
        self.path = path
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 4096)

    def set(self, calls=0, error=0, chance=0.0, after=0):
        self.map[0:4] = struct.pack("=I", 0)
        self.map[4:20] = struct.pack("=IIII", error, int(chance * 65536), after, 0)
        self.map[0:4] = struct.pack("=I", calls)

    def failed(self):
        return struct.unpack("=I", self.map[20:24])[0]


def takes_mail(server):
    """One message is taken, after a refusal or two."""
    def attempt():
        try:
            with lib.Smtp(server.ports["smtp", "none"], timeout=10) as c:
                c.ehlo()
                return c.transaction("probe@example.net", ["info@" + lib.DOMAIN], PROBE, tuple(range(200, 600))).code == 250
        except (OSError, EOFError, AssertionError, KeyError):
            time.sleep(0.05)
            return False
    lib.wait_until("mail to be taken again", attempt, 30)


PROBE = b"From: <probe@example.net>\r\nSubject: probe\r\n\r\nprobe\r\n"


class Faulty(load.Load):
    def found(self):
        copies = super().found()
        # The probes are nobody's messages.
        return {to: [c for c in list_ if b"Subject: probe" not in c[2][:4000]] for to, list_ in copies.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--library", default=os.path.join(lib.ROOT, "build/debug/test/fault/faultfs.so"))
    crash.arguments(parser)
    parser.set_defaults(clients=6)
    args = parser.parse_args()
    t = crash.prepare(args)
    chance = random.Random(args.seed)
    control = Control(os.path.join(t.dir, "control"))
    library = lib.reachable(os.path.abspath(args.library), os.path.dirname(t.dir))
    sink = crash.TimedSink(t)
    server = lib.Server(t, dict(crash.policy(sink), log={"level": "info"}), tls=False,
                        env={"LD_PRELOAD": library, "FAULTFS_CONTROL": control.path})
    mail = Faulty(server, sink, args.clients, args.seed)
    problems = injected = 0
    plan = [(call, error) for call in CALLS for error in ERRORS if error != "short" or call == "write"]
    chance.shuffle(plan)
    for n in range(args.rounds):
        call, error = plan[n % len(plan)]
        whole = chance.random() < 0.3
        control.set(CALLS[call], ERRORS[error], 1.0 if whole else chance.choice((0.02, 0.1, 0.5)),
                    chance.randrange(200) if whole else 0)
        before = control.failed()
        begun = time.monotonic()
        time.sleep(0.3 + chance.random() * 0.7)
        killed = chance.random() < 0.2
        if killed:
            server.kill()
        control.set()
        # Any copy that the next hop got in this time may come again.
        mail.kills += [begun + i * 0.05 for i in range(int((time.monotonic() - begun) / 0.05) + 1)]
        count = control.failed() - before
        injected += count
        print("round %d: %s %s%s: %d calls failed%s" % (n + 1, call, error, " always" if whole else "", count,
                                                        ", kill -9" if killed else ""), flush=True)
        if not killed and server.process.poll() is not None:
            print("PROBLEM: the server ended with %s:\n%s" % (server.process.returncode, server.log(own=True)[-3000:]))
            problems += 1
            killed = True
            server.process = None
        if killed:
            server.start()
        try:
            takes_mail(server)
        except TimeoutError as e:
            print("PROBLEM: %s:\n%s" % (e, server.log(own=True)[-3000:]))
            problems += 1
            break
    mail.stop()
    try:
        mail.drain(30)
    except TimeoutError as e:
        print("PROBLEM: %s" % e)
        problems += 1
    print("calls that failed: %d" % injected)
    problems += mail.account()
    if not mail.acknowledged or not injected:
        print("PROBLEM: nothing was tested")
        problems += 1
    return crash.finish(args, t, problems)


if __name__ == "__main__":
    sys.exit(main())
