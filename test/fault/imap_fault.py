#!/usr/bin/env python3
"""The disk fails now and then (EIO, ENOSPC, short writes) while clients change mailboxes by IMAP; then every message, UID
and flag is accounted for.

    test/fault/imap_fault.py --library build/debug/test/fault/faultfs.so [--binary build/release/facteur] [--rounds 60]
                             [--clients 6] [--seed N] [--keep]

A round lets one kind of call fail for a moment, as in test/fault/fault.py; sometimes a kill -9 comes on top. The account is
that of test/crash/imap_crash.py; what was refused must have been refused with a code that fits, and be nowhere. While every
fsync fails, nothing that must be durable is answered OK. The server lives, and all is well again by itself.
"""
import argparse
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "crash"))

import crash  # noqa: E402
import fault  # noqa: E402
import imap_crash  # noqa: E402
import lib  # noqa: E402
from imap import Imap  # noqa: E402


class Client(imap_crash.Client):
    def ask(self, c, pending, command):
        begun = self.book.dead  # since when every fsync fails
        answer = super().ask(c, pending, command)
        if begun and begun == self.book.dead and pending["what"] in ("append", "copy", "move"):
            self.book.problem("%s was answered OK while no fsync worked: %r" % (pending["what"], answer.final))
        return answer

    def refused(self, answer):
        code = re.search(rb" (NO|BAD) (\[[A-Z]+)?", answer.final)
        self.book.counts["answered " + (code.group(2) or b"?").decode() + "]"] += 1
        if code.group(1) == b"BAD" or code.group(2) != b"[UNAVAILABLE":
            self.book.problem("no fitting answer to a disk that fails: %r" % answer.final)
        time.sleep(0.01)


class Sender(imap_crash.Sender):
    """What SMTP answers to a failing disk is test/fault/fault.py's."""

    def one(self, c):
        number = self.book.number()
        for line in ("MAIL FROM:<sender@example.net>", "RCPT TO:<%s>" % lib.ANNA):
            c.cmd(line, 250)
        c.cmd("DATA", 354)
        self.unclear.add(number)
        c.raw(lib.stuffed(imap_crash.text_of(number)) + b".\r\n")
        if c.read().code == 250:
            self.taken.add(number)
        time.sleep(0.01)


def well_again(server):
    def attempt():
        try:
            with Imap(server.ports["imap", "none"], timeout=10) as c:
                return c.login(lib.ANNA).do("SELECT INBOX", None).status == "OK"
        except (OSError, EOFError, AssertionError, KeyError):
            return False
    lib.wait_until("mailboxes to be well again", attempt, 30)


def round_of(book, people, control, what, chance):
    call, error = what
    always = chance.random() < 0.4
    control.set(fault.CALLS[call], fault.ERRORS[error], 1.0 if always else chance.choice((0.02, 0.1, 0.5)),
                chance.randrange(100) if always and chance.random() < 0.5 else 0)
    before = control.failed()
    book.dead = object() if call == "fsync" and always and control.after == 0 else None
    book.go.set()
    time.sleep(0.2 + chance.random() * 0.5)
    killed = chance.random() < 0.2
    if killed:
        book.server.kill()
    book.dead = None
    book.go.clear()
    for person in people:
        if not person.idle.wait(30):
            raise TimeoutError("a client hangs")
    control.set()
    count = control.failed() - before
    print("%s %s%s: %d calls failed%s" % (call, error, " always" if always else "", count, ", kill -9" if killed else ""),
          flush=True)
    if not killed and book.server.process.poll() is not None:
        book.problem("the server ended with %s" % book.server.process.returncode)
        killed = True
    if killed:
        book.server.process = None
        book.server.start()
    well_again(book.server)
    return count


class Control(fault.Control):
    after = 0

    def set(self, calls=0, error=0, chance=0.0, after=0):
        self.after = after
        super().set(calls, error, chance, after)


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
    server = lib.Server(t, {"limits": {"commands": 100000, "errors": 1000, "connections_per_address": 1000},
                            "queue": {"retry": ["200ms"]},
                            "listen": [lib.listener("smtp", "none"), lib.listener("imap", "none")]}, tls=False,
                        env={"LD_PRELOAD": library, "FAULTFS_CONTROL": control.path})
    with Imap(server.ports["imap", "none"]) as c:
        c.login(lib.ANNA).do("CREATE Work")
    book = imap_crash.Book(server, args.seed)
    book.dead = None
    clients = [Client(book, n) for n in range(args.clients)]
    sender = Sender(book)
    plan = [(call, error) for call in fault.CALLS for error in fault.ERRORS if error != "short" or call == "write"]
    chance.shuffle(plan)
    injected = 0
    for n in range(args.rounds):
        try:
            injected += round_of(book, clients + [sender], control, plan[n % len(plan)], chance)
            imap_crash.settle(book, clients, sender)
        except (TimeoutError, AssertionError, EOFError, OSError) as e:
            book.problem("round %d: %s" % (n + 1, e))
            break
        if len(book.problems) > 30:
            break
    for what, count in sorted(book.counts.items()):
        print("%s: %d" % (what, count))
    print("calls that failed: %d" % injected)
    if not injected or not book.counts["append OK"]:
        book.problem("nothing was tested")
    print("problems: %d" % len(book.problems))
    return crash.finish(args, t, len(book.problems))


if __name__ == "__main__":
    sys.exit(main())
