#!/usr/bin/env python3
"""kill -9 at random instants, again and again, while clients send; then every message is accounted for.

    test/crash/crash.py [--binary build/release/facteur] [--rounds 200] [--clients 8] [--seed N] [--keep]

Exit status 0: every message that was answered 250 is there, whole, once (more often only at the next hop, and only when
a kill came between its taking and the record of that).
"""
import argparse
import os
import random
import shutil
import sys
import tempfile
import time

import load  # also finds lib and stub

import lib
from stub import Sink


class TimedSink(Sink):
    """Knows when it took each message."""

    def __init__(self, t):
        super().__init__(t, features=["PIPELINING", "8BITMIME", "SIZE"])
        sink = self

        class Messages(list):
            def append(self, message):
                message["time"] = time.monotonic()
                super().append(message)
        sink.messages = Messages()


def policy(sink):
    return {
        "relay": {"trusted": ["127.0.0.1/32"], "smarthost": {"host": lib.HOST, "port": sink.port, "tls": "none"}},
        "queue": {"retry": ["200ms"], "inline_limit": "64 KiB"},
        "limits": {"commands": 100000, "errors": 1000, "connections_per_address": 1000},
        "log": {"level": "warning"},
        "listen": [lib.listener("smtp", "none")],
    }


def arguments(parser):
    parser.add_argument("--binary", default=os.path.join(lib.ROOT, "build/release/facteur"))
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--keep", action="store_true", help="leave the state directory")
    parser.add_argument("--dir", help="where the state directory goes (default: the system's for temporary files)")


def prepare(args):
    top = tempfile.mkdtemp(prefix="facteur-crash.", dir=args.dir)
    os.chmod(top, 0o711)
    binary = lib.reachable(os.path.abspath(args.binary), top)
    print("%s, seed %d, in %s" % (binary, args.seed, top), flush=True)
    directory = os.path.join(top, "test")
    os.mkdir(directory)
    return lib.Test("crash", directory, binary)


def finish(args, t, problems):
    try:
        t.end()
    except AssertionError as e:
        print("PROBLEM: %s" % e)
        problems += 1
    top = os.path.dirname(t.dir)
    if args.keep or problems:
        print("the state is kept in " + top)
    else:
        shutil.rmtree(top, ignore_errors=True)
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    arguments(parser)
    args = parser.parse_args()
    t = prepare(args)
    chance = random.Random(args.seed)
    sink = TimedSink(t)
    # Readiness is read from the log, so the level must let that line through.
    server = lib.Server(t, dict(policy(sink), log={"level": "info"}), tls=False)
    mail = load.Load(server, sink, args.clients, args.seed)
    slowest = 0.0
    for n in range(args.rounds):
        time.sleep(chance.choice((0.02, 0.2, 0.8)) * (0.5 + chance.random()))
        server.kill()
        mail.kills.append(time.monotonic())
        if chance.random() < 0.25:  # and once more while it recovers
            server.start(wait=False)
            time.sleep(chance.random() * 0.08)
            server.kill()
            mail.kills.append(time.monotonic())
        started = time.monotonic()
        server.start()
        slowest = max(slowest, time.monotonic() - started)
        if (n + 1) % 10 == 0:
            print("round %d: %d acknowledged" % (n + 1, len(mail.acknowledged)), flush=True)
    mail.stop()
    problems = 0
    try:
        mail.drain(30)
    except TimeoutError as e:
        print("PROBLEM: %s" % e)
        problems = 1
    print("slowest start after a kill: %.2f s" % slowest)
    problems += mail.account()
    if not mail.acknowledged:
        print("PROBLEM: nothing was acknowledged")
        problems += 1
    return finish(args, t, problems)


if __name__ == "__main__":
    sys.exit(main())
