#!/usr/bin/env python3
"""kill -9 at random instants, again and again, while clients change mailboxes by IMAP; then every message, every UID and
every flag is accounted for.

    test/crash/imap_crash.py [--binary build/release/facteur] [--rounds 200] [--clients 6] [--seed N] [--keep]

In some rounds index.db is deleted or overwritten, between the kill and the start or while the server runs. Exit status 0:
what was answered OK has happened and stays so, what was not has happened or not, nothing else has, no UID was ever two
messages, and the index says what the files say.
"""
import argparse
import glob
import hashlib
import os
import random
import re
import sys
import threading
import time
from collections import Counter

import crash
import load  # also finds lib

import lib
from imap import Imap

BOXES = {"INBOX": "", "Archive": ".Archive", "Work": ".Work"}
LETTERS = {"D": r"\Draft", "F": r"\Flagged", "P": "$Forwarded", "R": r"\Answered", "S": r"\Seen", "T": r"\Deleted"}
FLAGS = (r"\Seen", r"\Flagged", r"\Answered", "$Forwarded", "work", "later")
NAMES_FOLLOW = 1.0  # seconds: what stood in the index alone when it was lost
BROKEN = (OSError, EOFError, ValueError, AttributeError, KeyError)


def text_of(number):
    body = load.body_of(number, 50 + number * 37 % 5000 if number % 29 else 200000)
    return ("From: <sender@example.net>\r\nSubject: number %d\r\nX-Number: %d\r\nX-Body: %s\r\n\r\n" % (
        number, number, hashlib.sha256(body).hexdigest())).encode() + body


def number_of(octets):
    """Whose message it is; None when it is not whole."""
    number = re.search(rb"\nX-Number: (\d+)\r\n", octets)
    digest = re.search(rb"\nX-Body: ([0-9a-f]{64})\r\n", octets)
    body = octets.partition(b"\r\n\r\n")[2]
    if not number or not digest or hashlib.sha256(body).hexdigest().encode() != digest.group(1):
        return None
    return int(number.group(1))


def parse_set(text):
    out = []
    for piece in text.split(b","):
        low, _, high = piece.partition(b":")
        out += range(int(low), int(high or low) + 1)
    return out


class Book:
    """What is known of all messages, over all lives of the server."""

    def __init__(self, server, seed):
        self.server = server
        self.seed = seed
        self.lock = threading.Lock()
        self.last = 0
        self.identity = {}  # (box, UID): number
        self.gone = set()  # (box, UID) whose expunging was answered OK
        self.validity = {}
        self.uidnext = {}
        self.counts = Counter()
        self.problems = []
        self.damaged = None  # when the index was, in this round
        self.go = threading.Event()  # clients work while it is set

    def number(self):
        with self.lock:
            self.last += 1
            return self.last

    def problem(self, what):
        with self.lock:
            self.problems.append(what)
            if len(self.problems) <= 30:
                print("PROBLEM: " + what, flush=True)

    def identify(self, box, validity, uid, number):
        with self.lock:
            known = self.identity.setdefault((box, uid), number)
            same = self.validity.setdefault(box, validity)
        if known != number:
            self.problem("UID %d of %s was number %d and is number %d" % (uid, box, known, number))
        if same != validity:
            self.problem("UIDVALIDITY of %s was %d and is %d" % (box, same, validity))

    def next_is(self, box, uidnext, before):
        """`before`: what it was when the question was asked."""
        with self.lock:
            self.uidnext[box] = max(uidnext, self.uidnext.get(box, 0))
        if uidnext < before:
            self.problem("UIDNEXT of %s was %d and is %d" % (box, before, uidnext))


class Client(threading.Thread):
    """Changes its own messages only, so that it knows what they must be. `copies`: {(box, UID): [number, flags]}."""

    def __init__(self, book, n):
        super().__init__(daemon=True)
        self.book, self.random = book, random.Random(book.seed * 100 + n)
        self.copies = {}
        self.changed = {}  # (box, UID): when its flags were, last
        self.pending = None
        self.idle = threading.Event()
        self.start()

    def run(self):
        while True:
            self.idle.set()
            self.book.go.wait()
            self.idle.clear()
            try:
                self.work()
            except BROKEN:
                time.sleep(0.01)
            except AssertionError as e:  # an answer that may not be: NO while index.db is being destroyed is none
                self.book.problem("client: %s" % e)

    def work(self):
        with Imap(self.book.server.ports["imap", "none"], timeout=15) as c:
            c.login(lib.ANNA)
            while self.book.go.is_set() and self.pending is None:
                box = self.random.choice(list(BOXES))
                before = self.book.uidnext.get(box, 0)
                answer = c.do("SELECT " + box, None)
                if answer.status != "OK":
                    self.refused(answer)
                    continue
                self.book.next_is(box, int(answer.find(rb"UIDNEXT (\d+)").group(1)), before)
                for _ in range(self.random.randrange(1, 12)):
                    if not self.book.go.is_set():
                        return
                    self.step(c, box)

    def mine(self, box, most=8):
        here = sorted(uid for b, uid in self.copies if b == box)
        return self.random.sample(here, min(len(here), self.random.randrange(1, most)))

    def step(self, c, box):
        what = self.random.choice(("append", "append", "append", "copy", "move", "store", "store", "store", "expunge"))
        if len(self.copies) > 150:
            what = "expunge"
        if what == "append":
            self.append(c)
            return
        uids = sorted(self.mine(box))
        if uids:
            getattr(self, what)(c, box, uids)

    def ask(self, c, pending, command):
        """Until it is answered, it may have happened or not."""
        self.pending = pending
        answer = c.do(command, None)
        self.book.counts[pending["what"] + " " + answer.status] += 1
        if answer.status == "OK" and self.book.damaged and pending["what"] in ("copy", "move", "expunge"):
            # Flags that were in no name are lost with the index, \Deleted too, and what meets the loss does its work twice.
            raise ValueError("not all of it may have happened")
        if answer.status == "OK":
            return answer
        self.refused(answer)
        if pending["what"] == "append":  # it must not be there, ever
            self.pending = None
        else:  # settled with the next look at everything
            self.pending = dict(pending, refused=True)
        raise ValueError("refused")

    def refused(self, answer):
        """Nothing may be refused, for nothing fails here (test/fault/imap_fault.py knows better)."""
        raise AssertionError("refused: %r" % answer.final)

    def done(self):
        self.pending = None

    def append(self, c):
        box = self.random.choice(list(BOXES))
        flags = frozenset(self.random.sample(FLAGS, self.random.randrange(3)))
        numbers = [self.book.number() for _ in range(self.random.choice((1, 1, 1, 3)))]
        command = b"APPEND " + box.encode()
        for number in numbers:
            text = text_of(number)
            command += (" (%s) {%d+}\r\n" % (" ".join(sorted(flags)), len(text))).encode() + text
        answer = self.ask(c, {"what": "append", "to": box, "numbers": numbers, "flags": flags}, command)
        code = re.search(rb"\[APPENDUID (\d+) (\S+)\]", answer.final)
        for number, uid in zip(numbers, parse_set(code.group(2))):
            self.book.identify(box, int(code.group(1)), uid, number)
            self.copies[box, uid] = [number, flags]
        self.done()

    def copy(self, c, box, uids, what="copy"):
        to = self.random.choice([b for b in BOXES if b != box])
        items = [(uid, self.copies[box, uid][0]) for uid in uids]
        answer = self.ask(c, {"what": what, "from": box, "to": to, "items": items},
                          "UID %s %s %s" % (what.upper(), ",".join(map(str, uids)), to))
        code = re.search(rb"\[COPYUID (\d+) (\S+) (\S+)\]", b" ".join(answer.untagged + [answer.final]))
        sources, targets = parse_set(code.group(2)), parse_set(code.group(3))
        if sources != uids:
            self.book.problem("COPYUID tells of %r instead of %r" % (sources, uids))
        for uid, new in zip(sources, targets):
            self.book.identify(to, int(code.group(1)), new, self.copies[box, uid][0])
            self.copies[to, new] = list(self.copies[box, uid])
            self.changed[to, new] = self.changed.get((box, uid), 0)
            if what == "move":
                del self.copies[box, uid]
                self.book.gone.add((box, uid))
        self.done()

    def move(self, c, box, uids):
        self.copy(c, box, uids, "move")

    def store(self, c, box, uids):
        how, given = self.random.choice(("", "+", "-")), frozenset(self.random.sample(FLAGS, self.random.randrange(1, 4)))
        after = {}
        for uid in uids:
            flags = self.copies[box, uid][1]
            after[uid] = given if how == "" else flags | given if how == "+" else flags - given
        self.ask(c, {"what": "store", "from": box, "after": after},
                 "UID STORE %s %sFLAGS.SILENT (%s)" % (",".join(map(str, uids)), how, " ".join(sorted(given))))
        self.change(box, after)
        self.done()

    def change(self, box, after):
        for uid, flags in after.items():
            self.copies[box, uid][1] = flags
            self.changed[box, uid] = time.monotonic()

    def expunge(self, c, box, uids):
        after = {uid: self.copies[box, uid][1] | {r"\Deleted"} for uid in uids}
        numbers = ",".join(map(str, uids))
        self.ask(c, {"what": "store", "from": box, "after": after}, "UID STORE %s +FLAGS.SILENT (\\Deleted)" % numbers)
        self.change(box, after)
        self.ask(c, {"what": "expunge", "from": box, "after": after}, "UID EXPUNGE " + numbers)
        for uid in uids:
            del self.copies[box, uid]
            self.book.gone.add((box, uid))
        self.done()

    # --- the account; `there`: {(box, UID): (number, flags)} of this client's numbers

    def settle(self, there):
        pending, self.pending = self.pending or {"what": "nothing"}, None
        expected, self.copies = self.copies, {key: list(value) for key, value in there.items()}
        what, refused = pending["what"], pending.get("refused")
        may_go = {(pending["from"], uid) for uid, _ in pending["items"]} if what == "move" else \
            {(pending["from"], uid) for uid in pending["after"]} if what == "expunge" else set()
        extra = Counter(pending["numbers"]) if what == "append" and not refused else \
            Counter(number for _, number in pending["items"]) if what == "move" or (what == "copy" and not refused) else \
            Counter()
        if self.book.damaged and what in ("copy", "move"):
            extra = Counter({number: 10 for number in extra})
        came = set(there) - set(expected)
        for key in sorted(came):
            number = there[key][0]
            if key[0] != pending.get("to") or extra[number] == 0:
                self.book.problem("number %d is in %s as UID %d, and nobody put it there (%s)" % (number, key[0], key[1], what))
            extra[number] -= 1
        for key, (number, flags) in sorted(expected.items()):
            if key in there:
                self.compare_flags(key, flags, there[key][1], pending)
            elif key not in may_go:
                self.book.problem("LOST: number %d in %s as UID %d (%s)" % (number, key[0], key[1], what))
            elif what == "move" and not any(there[k][0] == number for k in came):
                self.book.problem("LOST: number %d on its way from %s" % (number, key[0]))
        if what != "nothing":
            self.book.counts["unclear " + what + (": came" if came else "")] += 1

    def compare_flags(self, key, flags, found, pending):
        may = [flags]
        if pending["what"] in ("store", "expunge") and key[0] == pending["from"] and key[1] in pending["after"]:
            may.append(pending["after"][key[1]])
        damaged = self.book.damaged
        if damaged and self.changed.get(key, 0) > damaged - NAMES_FOLLOW:
            return  # its name may not have said so yet
        if found not in may:
            self.book.problem("UID %d of %s has %s instead of %s" % (key[1], key[0], sorted(found), [sorted(f) for f in may]))


class Sender(threading.Thread):
    """Deliveries by SMTP into INBOX."""

    def __init__(self, book):
        super().__init__(daemon=True)
        self.book = book
        self.taken, self.unclear = set(), set()
        self.idle = threading.Event()
        self.start()

    def run(self):
        while True:
            self.idle.set()
            self.book.go.wait()
            self.idle.clear()
            try:
                with lib.Smtp(self.book.server.ports["smtp", "none"], timeout=15) as c:
                    c.ehlo()
                    while self.book.go.is_set():
                        self.one(c)
            except BROKEN + (AssertionError,):
                time.sleep(0.01)

    def one(self, c):
        number = self.book.number()
        text = text_of(number)
        for line in ("MAIL FROM:<sender@example.net>", "RCPT TO:<%s>" % lib.ANNA):
            c.cmd(line, 250)
        c.cmd("DATA", 354)
        self.unclear.add(number)
        c.raw(lib.stuffed(text) + b".\r\n")
        if c.read().code == 250:
            self.taken.add(number)
            self.book.counts["delivery OK"] += 1
        self.unclear.discard(number)
        time.sleep(0.003)

    def settle(self, there):
        numbers = Counter(number for number, _ in there.values())
        for number in self.taken - set(numbers):
            self.book.problem("LOST: number %d was taken by SMTP" % number)
        for number, n in numbers.items():
            if number not in self.taken | self.unclear:
                self.book.problem("number %d was not taken by SMTP and is there" % number)
            if n > 1:
                self.book.problem("number %d came %d times by SMTP" % (number, n))
        self.taken = set(numbers)
        self.unclear = set()


def maildir(book, box):
    return os.path.join(book.server.maildir(), BOXES[box])


def on_disk(book, box):
    """Flags by UID, from the names; a name without a UID, or with another's, stands for itself."""
    names, out = {}, {}
    try:
        with open(os.path.join(maildir(book, box), "dovecot-keywords"), encoding="ascii") as lines:
            names = {chr(ord("a") + int(n)): name for n, name in (line.split() for line in lines)}
    except FileNotFoundError:
        pass
    for part in ("cur", "new"):
        for name in os.listdir(os.path.join(maildir(book, box), part)):
            base, _, info = name.partition(":2,")
            uid = re.search(r",U=(\d+)", base)
            uid = int(uid.group(1)) if uid else name
            out[name if uid in out else uid] = frozenset(LETTERS.get(letter) or names[letter] for letter in info)
    return out


def compare_names(book, box, flags):
    """The names follow the index."""
    until = time.monotonic() + 10
    while True:
        disk = on_disk(book, box)
        if disk == flags:
            return
        if time.monotonic() > until:
            break
        time.sleep(0.02)
    book.problem("%s: IMAP and the files differ: %r" % (box, sorted(
        (str(uid), sorted(flags.get(uid, ["-"])), sorted(disk.get(uid, ["-"])))
        for uid in set(disk) | set(flags) if disk.get(uid) != flags.get(uid))[:10]))


def look(book, all_bodies):
    """Everything that is there, by IMAP: {(box, UID): (number, flags)}; checked against the files."""
    there = {}
    with Imap(book.server.ports["imap", "none"], timeout=60) as c:
        c.login(lib.ANNA)
        for box in BOXES:
            before = book.uidnext.get(box, 0)
            answer = c.do("SELECT " + box)
            validity = int(answer.find(rb"UIDVALIDITY (\d+)").group(1))
            book.next_is(box, int(answer.find(rb"UIDNEXT (\d+)").group(1)), before)
            c.do("NOOP")
            flags = {}
            for m in c.do("UID FETCH 1:* (UID FLAGS)").all(rb"UID (\d+).*FLAGS \(([^)]*)\)"):
                flags[int(m.group(1))] = frozenset(m.group(2).decode().split()) - {r"\Recent"}
            new = [uid for uid in flags if all_bodies or (box, uid) not in book.identity]
            for low in range(0, len(new), 200):
                for m in c.do("UID FETCH %s BODY.PEEK[]" % ",".join(map(str, new[low:low + 200]))).all(
                        rb"UID (\d+) BODY\[\] \{\d+\}\r\n(.*)\)$"):
                    number = number_of(m.group(2))
                    if number is None:
                        book.problem("UID %s of %s is no whole message: %r" % (m.group(1), box, m.group(2)[:80]))
                    else:
                        book.identify(box, validity, int(m.group(1)), number)
            for uid in flags:
                if (box, uid) in book.gone:
                    book.problem("UID %d of %s was expunged and is there" % (uid, box))
                if (box, uid) in book.identity:
                    there[box, uid] = (book.identity[box, uid], flags[uid])
            compare_names(book, box, flags)
    return there


def damage(book, chance):
    """Deletes or overwrites index.db."""
    book.damaged = book.damaged or time.monotonic()
    base = os.path.join(os.path.dirname(book.server.maildir()), "index.db")
    files = [base] if chance.random() < 0.5 else glob.glob(base + "*")
    how = chance.choice(("delete", "garbage"))
    for path in files:
        try:
            if how == "delete":
                os.unlink(path)
                continue
            size = os.path.getsize(path)
            with open(path, "r+b") as out:
                out.write(chance.randbytes(size or 100))
        except FileNotFoundError:
            pass
    book.counts["index: %s" % how] += 1


def settle(book, clients, sender, all_bodies=False):
    lib.wait_until("an empty queue", lambda: book.server.json("status")["queue"]["messages"] == 0, 30)
    there = look(book, all_bodies)
    owners = {}
    for client in clients:
        for number in {n for n, _ in client.copies.values()} | set((client.pending or {}).get("numbers", ())):
            owners[number] = client
    for person in clients + [sender]:
        person.settle({key: value for key, value in there.items() if owners.get(value[0], sender) is person})
    book.damaged = None


def round_of(book, clients, sender, chance):
    book.go.set()
    time.sleep(chance.choice((0.05, 0.2, 0.5)) * (0.5 + chance.random()))
    if chance.random() < 0.2:
        damage(book, chance)
        time.sleep(chance.random() * 0.3)
    book.server.kill()
    book.go.clear()
    for person in clients + [sender]:
        if not person.idle.wait(30):
            raise TimeoutError("a client hangs")
    if chance.random() < 0.2:
        damage(book, chance)
    if chance.random() < 0.25:  # and once more while it recovers
        book.server.start(wait=False)
        time.sleep(chance.random() * 0.15)
        book.server.kill()
    book.server.start()
    settle(book, clients, sender)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    crash.arguments(parser)
    parser.set_defaults(clients=6)
    args = parser.parse_args()
    t = crash.prepare(args)
    chance = random.Random(args.seed)
    server = lib.Server(t, {"limits": {"commands": 100000, "errors": 1000, "connections_per_address": 1000},
                            "listen": [lib.listener("smtp", "none"), lib.listener("imap", "none")]}, tls=False)
    with Imap(server.ports["imap", "none"]) as c:
        c.login(lib.ANNA).do("CREATE Work")
    book = Book(server, args.seed)
    clients = [Client(book, n) for n in range(args.clients)]
    sender = Sender(book)
    for n in range(args.rounds):
        try:
            round_of(book, clients, sender, chance)
        except (TimeoutError, AssertionError, EOFError, OSError) as e:
            book.problem("round %d: %s" % (n + 1, e))
            break
        if (n + 1) % 10 == 0:
            print("round %d: %d messages, %d problems" % (n + 1, book.last, len(book.problems)), flush=True)
        if len(book.problems) > 30:
            break
    if server.process and server.process.poll() is None and not book.problems:
        settle(book, clients, sender, all_bodies=True)
    for what, count in sorted(book.counts.items()):
        print("%s: %d" % (what, count))
    if not book.counts["append OK"] or not book.counts["move OK"] or not book.counts["delivery OK"]:
        book.problem("nothing was tested")
    print("problems: %d" % len(book.problems))
    return crash.finish(args, t, len(book.problems))


if __name__ == "__main__":
    sys.exit(main())
