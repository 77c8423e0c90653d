"""Numbered messages into a server that is being mistreated, and the account of them afterwards.

Every message has a number of its own and is never sent twice, so each copy that is found can be held against what its
client was told: `acknowledged` (250 to the end of data), `unclear` (the connection broke between the end of data and its
answer), `refused` (a reply other than 250, or the end of data was never sent). An acknowledged message must be found for
each of its recipients, a refused one for none, an unclear one may be either; no copy may be incomplete.
"""
import hashlib
import os
import random
import re
import sqlite3
import sys
import threading
import time
from collections import Counter

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

from lib import ANNA, BERT, Smtp  # noqa: E402

REMOTE, REMOTE2 = "friend@example.net", "other@example.com"
SETS = ((ANNA,), (BERT,), (ANNA, BERT), (REMOTE,), (REMOTE, REMOTE2), (ANNA, REMOTE))


def body_of(number, size):
    """The same octets for the same number, with dots and long runs where they hurt."""
    text = hashlib.shake_256(b"%d" % number).hexdigest(size // 2 + 1)
    lines = [text[i:i + 72] for i in range(0, len(text), 72)]
    lines[::5] = ["." + line for line in lines[::5]]
    return ("\r\n".join(lines) + "\r\n").encode()


def base32(number):
    """A queue id, as base/codec writes it."""
    text = ""
    for _ in range(13):
        number, digit = divmod(number, 32)
        text = "0123456789abcdefghijklmnopqrstuv"[digit] + text
    return text


class Load:
    def __init__(self, server, sink, clients, seed, small=2000, large=300000, share=0.15):
        self.server, self.sink = server, sink
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.next = 0
        self.sent = {}  # number: (recipients, size)
        self.acknowledged, self.unclear, self.refused = set(), set(), set()
        self.replies = Counter()
        self.kills = []  # monotonic times
        self.small, self.large, self.share = small, large, share
        self.running = True
        self.threads = [threading.Thread(target=self.client, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def number(self):
        with self.lock:
            self.next += 1
            number = self.next
            size = self.large if self.random.random() < self.share else self.random.randrange(1, self.small)
            self.sent[number] = (self.random.choice(SETS), size)
        return number

    def message(self, number):
        to, size = self.sent[number]
        body = body_of(number, size)
        return ("From: <sender@example.net>\r\nTo: %s\r\nSubject: number %d\r\nX-Number: %d\r\nX-Body: %s\r\n\r\n" % (
            ", ".join(to), number, number, hashlib.sha256(body).hexdigest())).encode() + body

    def client(self):
        while self.running:
            try:
                port = next(p for (service, _), p in list(self.server.ports.items()) if service == "smtp")
                with Smtp(port, timeout=20) as c:
                    c.ehlo()
                    while self.running:
                        self.one(c)
            except (OSError, EOFError, AssertionError, StopIteration, ValueError):
                time.sleep(0.02)  # between two lives of the server

    def one(self, c):
        number = self.number()
        text = self.message(number)
        stage = self.refused
        try:
            for line in ["MAIL FROM:<sender@example.net>"] + ["RCPT TO:<%s>" % to for to in self.sent[number][0]]:
                reply = c.cmd(line)
                if reply.code != 250:
                    self.replies[repr(reply)[:60]] += 1
                    time.sleep(0.02)
                    c.cmd("RSET")
                    return
            if c.cmd("DATA").code != 354:
                time.sleep(0.02)
                return
            stuffed = re.sub(rb"(?m)^\.", b"..", text)
            cut = len(stuffed) // 2
            c.raw(stuffed[:cut])
            c.raw(stuffed[cut:])
            stage = self.unclear
            c.raw(b".\r\n")
            reply = c.read()
            stage = self.acknowledged if reply.code == 250 else self.refused
            if reply.code != 250:
                self.replies[repr(reply)[:60]] += 1
        finally:
            with self.lock:
                stage.add(number)

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join(30)

    def drain(self, seconds):
        """Everything that waits goes out: the queue is flushed until it is empty. TimeoutError after so long without any
        progress."""
        def count():
            self.server.run("queue", "flush", check=False)
            return self.server.json("status")["queue"]["messages"]
        left = count()
        end = time.monotonic() + seconds
        while left > 0:
            time.sleep(0.5)
            now = count()
            if now < left:
                end = time.monotonic() + seconds
            elif time.monotonic() > end:
                raise TimeoutError("%d messages wait in the queue and do not move" % now)
            left = now

    # --- the account

    def found(self):
        """Copies by (number, recipient): lists of (place, time or None, octets)."""
        copies = {}
        for user in (ANNA, BERT):
            for folder in ("new", "cur"):
                path = os.path.join(self.server.maildir(user), folder)
                for name in os.listdir(path) if os.path.isdir(path) else ():
                    with open(os.path.join(path, name), "rb") as stored:
                        copies.setdefault(user, []).append((os.path.join(path, name), None, stored.read()))
        for m in self.sink.messages:
            for to in m["to"]:
                copies.setdefault(to, []).append(("next hop", m["time"], m["data"]))
        return copies

    def queued(self):
        """(number, recipient) of what is in the queue still: read from its files, after the server has stopped."""
        state = self.server.state
        self.server.stop()
        found = set()
        db = sqlite3.connect("file:%s?mode=ro" % os.path.join(state, "queue.db"), uri=True)
        for ident, spooled, body in db.execute("SELECT id, spooled, body FROM message").fetchall():
            if spooled:
                with open(os.path.join(state, "spool", base32(ident)), "rb") as spool:
                    body = spool.read(65536)
            number = re.search(rb"\nX-Number: (\d+)\r?\n", body)
            for (to,) in db.execute("SELECT address FROM recipient WHERE message = ?", (ident,)):
                if number:
                    found.add((int(number.group(1)), to))
        db.close()
        return found

    def account(self):
        """Prints what became of everything; the number of things that must not be."""
        queued = self.queued()
        problems = []
        counts = Counter()
        seen = {}
        for to, copies in self.found().items():
            for place, when, text in copies:
                text = text.replace(b"\r\n", b"\n")
                number = re.search(rb"\nX-Number: (\d+)\n", text)
                digest = re.search(rb"\nX-Body: ([0-9a-f]{64})\n", text)
                if not number or not digest or b"\n\n" not in text:
                    problems.append("no whole message for %s: %s: %r" % (to, place, text[:200]))
                    continue
                body = text.split(b"\n\n", 1)[1].replace(b"\n", b"\r\n")
                if hashlib.sha256(body).hexdigest().encode() != digest.group(1):
                    problems.append("number %s for %s is damaged: %s" % (number.group(1).decode(), to, place))
                    continue
                seen.setdefault((int(number.group(1)), to), []).append((place, when))
        for number, (recipients, _) in self.sent.items():
            for to in recipients:
                copies = seen.pop((number, to), [])
                if number in self.acknowledged and not copies and (number, to) in queued:
                    counts["in the queue still"] += 1
                elif number in self.acknowledged and not copies:
                    problems.append("LOST: number %d for %s was acknowledged" % (number, to))
                if number in self.refused and copies:
                    problems.append("number %d for %s was refused and is there: %s" % (number, to, copies[0][0]))
                if number in self.unclear:
                    counts["unclear, there" if copies else "unclear, not there"] += 1
                if len(copies) > 1:
                    problems += self.explain(number, to, copies, counts)
        problems += ["a copy of number %d for %s, who was never its recipient" % key for key in seen]
        print("messages: %d acknowledged, %d unclear, %d refused; kills: %d" % (
            len(self.acknowledged), len(self.unclear), len(self.refused), len(self.kills)))
        for what, n in sorted(counts.items()):
            print("copies: %d %s" % (n, what))
        for reply, n in self.replies.most_common(8):
            print("replies: %d x %s" % (n, reply))
        for problem in problems[:50]:
            print("PROBLEM: " + problem)
        print("problems: %d" % len(problems))
        return len(problems)

    def explain(self, number, to, copies, counts):
        """A second copy at a next hop is right when a kill, or a fault while its answer was recorded, came between."""
        times = sorted(when for _, when in copies if when is not None)
        if len(times) != len(copies):
            return ["number %d for %s is twice in the Maildir: %s" % (number, to, [place for place, _ in copies])]
        between = sum(times[0] - 0.5 <= kill <= times[-1] for kill in self.kills)
        if len(copies) - 1 > between:
            return ["number %d for %s came %d times to the next hop and %d kills were between" % (
                number, to, len(copies), between)]
        counts["more than once at the next hop, a kill between the taking and its record"] += len(copies) - 1
        return []
