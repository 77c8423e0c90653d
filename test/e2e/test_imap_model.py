"""Random operations of several sessions, deliveries and other programs on one user's mailboxes, checked at every step.

Each session keeps a model of its mailbox from what it was told, and of nothing else. FACTEUR_MODEL_SEEDS (a number of
seeds, or some with commas between: 3,17) and FACTEUR_MODEL_STEPS make it longer.
"""
import os
import random
import re
import select
import time

from imap import Imap, server
from lib import ANNA, PASSWORDS, Smtp, give, wait_until

BOXES = {"INBOX": "", "Archive": ".Archive", "Work": ".Work"}
LETTERS = {"D": r"\Draft", "F": r"\Flagged", "P": "$Forwarded", "R": r"\Answered", "S": r"\Seen", "T": r"\Deleted"}
FLAGS = (r"\Seen", r"\Flagged", r"\Answered", r"\Draft", r"\Deleted", "$Forwarded", "work", "Later", "$Junk")
SEEDS, STEPS = 3, 400
KINDS = ("plain", "condstore", "qresync", "rev2", "qresync")


def parse_set(text):
    out = []
    for piece in text.split(","):
        low, _, high = piece.partition(":")
        out += range(int(low), int(high or low) + 1)
    return out


def format_set(numbers):
    return ",".join(str(n) for n in numbers)


def applied(how, flags, given):
    return frozenset(given) if how == "" else frozenset(flags) | given if how == "+" else frozenset(flags) - given


class World:
    def __init__(self, t, seed):
        self.random = random.Random(seed)
        self.server = server(t, {"limits": {"connections_per_address": 1000, "commands": 100000, "errors": 1000}})
        self.last = self.delivered = 0
        self.content = {}  # (box, uidvalidity, uid): the number of the message that it was first seen to be
        self.recent = {}  # (box, uid): the session that has it as \Recent
        self.highest = {}  # by box: the highest HIGHESTMODSEQ and UIDNEXT seen
        self.trace = []
        self.smtp = None

    def note(self, *what):
        self.trace.append("%s %s" % (time.strftime("%H:%M:%S"), " ".join(str(w) for w in what)))

    def number(self):
        self.last += 1
        return self.last

    def text(self, eol="\r\n"):
        number = self.number()
        return number, eol.join(("From: <a@example.net>", "X-Id: %d" % number, "Subject: number %d" % number, "",
                                 "body %d" % number, "")).encode()

    def folder(self, box):
        return os.path.join(self.server.maildir(), BOXES[box])

    def identify(self, box, validity, uid, number):
        known = self.content.setdefault((box, validity, uid), number)
        assert known == number, "UID %d of %s was message %d and is %d now" % (uid, box, known, number)

    def rises(self, what, box, value, floor):
        """`floor`: what `highest` was when the question was asked."""
        assert value >= floor.get((what, box), 0), "%s of %s fell from %d to %d" % (what, box, floor[what, box], value)
        self.highest[what, box] = max(value, self.highest.get((what, box), 0))

    # --- those that are no sessions

    def deliver(self):
        number, text = self.text()
        if self.smtp is None:
            self.smtp = Smtp(self.server.ports["smtp", "none"])
            self.smtp.ehlo()
        self.note("delivers", number)
        self.smtp.transaction("someone@example.net", [ANNA], text)
        self.delivered += 1

    def wait_delivered(self):
        """Accepted is not yet in the mailbox."""
        wait_until("what was accepted, in the mailbox",
                   lambda: self.server.log(own=True).count(" event=delivered ") >= self.delivered)

    def files(self, box, parts=("cur", "new")):
        return sorted(os.path.join(self.folder(box), part, name) for part in parts
                      for name in os.listdir(os.path.join(self.folder(box), part)))

    def other_program(self):
        box = self.random.choice(list(BOXES))
        files = self.files(box, self.random.choice((("cur",), ("cur", "new"))))
        what = self.random.choice(("rename", "rename", "rename", "remove", "drop", "drop", "move"))
        try:
            if what == "drop":
                self.drop(box)
            elif files:
                path = self.random.choice(files)
                self.note("other program:", what, path[len(self.server.maildir()):])
                getattr(self, what)(path, box)
        except FileNotFoundError:
            pass  # the server was faster

    def drop(self, box):
        number, text = self.text("\n")
        name = "17%08d.M%dP1.elsewhere" % (number, number)
        if self.random.random() < 0.5:
            to = os.path.join("cur", name + self.random.choice((":2,", ":2,FS", ":2,T", "")))
        else:
            to = os.path.join("new", name)
        self.note("other program: drops", box, to)
        path = os.path.join(self.folder(box), "tmp", name)
        with open(path, "wb") as out:
            out.write(text)
        os.chmod(path, 0o600)
        os.utime(path, (1700000000, 1700000000))  # complete for long, and shown at once
        give(path)
        os.rename(path, os.path.join(self.folder(box), to))

    def rename(self, path, box):
        folder, name = os.path.split(path)
        if os.path.basename(folder) == "new":
            return
        base, _, info = name.partition(":2,")
        keywords = [letter for letter in info if letter.islower()]
        if keywords and self.random.random() < 0.3:
            keywords.pop()
        letters = [letter for letter in "DFPRST" if self.random.random() < 0.3]
        os.rename(path, os.path.join(folder, base + ":2," + "".join(sorted(letters) + keywords)))

    def remove(self, path, box):
        os.unlink(path)

    def move(self, path, box):
        """As a mail program does that knows nothing of UIDs: with the name that it had."""
        to = self.random.choice([b for b in BOXES if b != box])
        os.rename(path, os.path.join(self.folder(to), "cur", os.path.basename(path).partition(":2,")[0] + ":2,S"))

    def on_disk(self, box):
        """Flags by UID, as the names say them; None when some have no UID of their own yet."""
        names, out = {}, {}
        try:
            with open(os.path.join(self.folder(box), "dovecot-keywords"), encoding="ascii") as lines:
                for line in lines:
                    n, _, name = line.strip().partition(" ")
                    names[chr(ord("a") + int(n))] = name
        except FileNotFoundError:
            pass
        for path in self.files(box):
            base, _, info = os.path.basename(path).partition(":2,")
            uid = re.search(r",U=(\d+)", base)
            if uid is None or int(uid.group(1)) in out:
                return None
            out[int(uid.group(1))] = frozenset(LETTERS.get(letter) or names[letter] for letter in info)
        return out


class Session:
    def __init__(self, world, name, kind):
        self.world, self.name, self.kind = world, name, kind
        self.condstore, self.qresync, self.rev2 = kind != "plain", kind == "qresync", kind == "rev2"
        self.saved = None  # what a QRESYNC client keeps of a mailbox while it is away
        self.connect()

    def connect(self):
        self.c = Imap(self.world.server.ports["imap", "none"])
        self.pending = None
        self.box = None
        self.c.login()
        if self.qresync:
            self.c.do("ENABLE QRESYNC")
        elif self.rev2:
            self.c.do("ENABLE IMAP4rev2 CONDSTORE")
        elif self.condstore:
            self.c.do("ENABLE CONDSTORE")

    def fail(self, what, line=b""):
        raise AssertionError("session %s (%s) on %s: %s; %r\nmodel: %r" % (self.name, self.kind, self.box, what, line, self.uids))

    def forget(self):
        self.uids, self.flags, self.modseqs = [], {}, {}
        self.recents = None
        self.modseq = 0  # HIGHESTMODSEQ as RFC 7162 section 3.2.5.1 has clients keep it
        self.names = set()
        self.validity = None

    # --- what the server says

    def line(self, line):
        number = re.match(rb"\* (\d+) (EXISTS|EXPUNGE|RECENT|FETCH)\b", line)
        self.world.note(self.name, "<", line[:300].decode("latin-1"))
        if number:
            getattr(self, number.group(2).decode().lower())(int(number.group(1)), line)
        elif line.startswith(b"* VANISHED"):
            self.vanished(line)
        elif line.startswith(b"* FLAGS"):
            self.names = set(line.decode()[9:-1].split())
        elif line.startswith((b"* OK [", b"* NO [")):
            self.code(line)
        elif line.startswith(b"* BYE"):
            self.fail("said farewell", line)

    def code(self, line):
        found = re.search(rb"\[HIGHESTMODSEQ (\d+)\]", line)
        if found:
            self.told_highest = int(found.group(1))
        found = re.search(rb"\[UIDVALIDITY (\d+)\]", line)
        if found:
            self.validity = int(found.group(1))
        found = re.search(rb"\[UIDNEXT (\d+)\]", line)
        if found:
            self.world.rises("UIDNEXT", self.box, int(found.group(1)), self.floor)

    def exists(self, count, line):
        if count < len(self.uids):
            self.fail("EXISTS fell from %d" % len(self.uids), line)
        self.uids += [None] * (count - len(self.uids))

    def recent(self, count, line):
        if self.rev2:
            self.fail("IMAP4rev2 has no RECENT", line)
        if count > len(self.uids):
            self.fail("more recent ones than messages", line)
        self.recents = count

    def check_expunge(self, line):
        if self.pending is None or self.pending["verb"] in ("FETCH", "STORE", "SEARCH"):
            self.fail("an EXPUNGE where none may be", line)

    def drop(self, uid):
        self.flags.pop(uid, None)
        self.modseqs.pop(uid, None)

    def expunge(self, seq, line):
        self.check_expunge(line)
        if self.qresync:
            self.fail("EXPUNGE instead of VANISHED", line)
        if not 1 <= seq <= len(self.uids):
            self.fail("there is no such number", line)
        self.drop(self.uids.pop(seq - 1))

    def vanished(self, line):
        earlier = line.startswith(b"* VANISHED (EARLIER) ")
        if not self.qresync:
            self.fail("VANISHED without QRESYNC", line)
        if not earlier:
            self.check_expunge(line)
        if earlier and self.resync is None:
            self.fail("EARLIER when nobody asked", line)
        for uid in parse_set(line.decode().rpartition(" ")[2]):
            if self.resync is not None:
                self.resync.pop(uid, None)
            if earlier:
                continue
            if uid in self.uids:
                self.uids.remove(uid)
                self.drop(uid)
            else:
                self.remove_unknown(uid, line)

    def remove_unknown(self, uid, line):
        """It has a number, but which one it is was not asked yet: somewhere between its neighbours."""
        for n, known in enumerate(self.uids):
            if known is None and uid > max([u for u in self.uids[:n] if u] or [0]) and \
                    uid < min([u for u in self.uids[n:] if u] or [1 << 32]):
                del self.uids[n]
                return
        self.fail("VANISHED of what is not there: %d" % uid, line)

    def fetch(self, seq, line):
        if not 1 <= seq <= len(self.uids):
            self.fail("there is no such number", line)
        uid = re.search(rb"\bUID (\d+)", line)
        flags = re.search(rb"\bFLAGS \(([^)]*)\)", line)
        modseq = re.search(rb"\bMODSEQ \((\d+)\)", line)
        number = re.search(rb"X-Id: (\d+)", line)
        if uid:
            self.learn(seq, int(uid.group(1)), line)
        elif self.qresync and (self.pending is None or "FETCH" not in self.pending["verb"]):
            self.fail("FETCH without UID under QRESYNC", line)
        uid = self.uids[seq - 1]
        if modseq:
            self.seen_modseq = max(self.seen_modseq, int(modseq.group(1)))
        if uid is None:
            return
        if number:
            self.world.identify(self.box, self.validity, uid, int(number.group(1)))
        if modseq:
            self.take_modseq(uid, int(modseq.group(1)), line)
        if flags:
            self.take_flags(uid, flags.group(1).decode().split(), modseq is not None, line)

    def learn(self, seq, uid, line):
        if self.uids[seq - 1] not in (None, uid):
            self.fail("number %d was UID %s" % (seq, self.uids[seq - 1]), line)
        self.uids[seq - 1] = uid
        known = [u for u in self.uids if u]
        if known != sorted(set(known)):
            self.fail("UIDs do not ascend", line)

    def take_modseq(self, uid, modseq, line):
        if not self.condstore:
            self.fail("MODSEQ for a client that knows none", line)
        if modseq < self.modseqs.get(uid, 0):
            self.fail("MODSEQ fell from %d" % self.modseqs[uid], line)
        if b"FLAGS" not in line:
            self.stale.add(uid)  # .SILENT: what has changed we know ourselves
        self.newer = modseq > self.modseqs.get(uid, 0)
        self.modseqs[uid] = modseq

    def take_flags(self, uid, flags, with_modseq, line):
        recent = r"\Recent" in flags
        flags = frozenset(flags) - {r"\Recent"}
        if with_modseq and not self.newer and uid not in self.stale and self.flags.get(uid, flags) != flags:
            self.fail("other flags than %s with the same MODSEQ" % sorted(self.flags[uid]), line)
        if recent and self.rev2:
            self.fail("IMAP4rev2 has no \\Recent", line)
        if recent and not self.read_only:
            owner = self.world.recent.setdefault((self.box, uid), (self.name, self.selected))
            if owner != (self.name, self.selected):
                self.fail("it is recent to %s too" % (owner,), line)
        self.flags[uid] = flags
        self.changed.add(uid)

    # --- commands

    def send(self, verb, command, **more):
        self.world.note(self.name, ">", command if isinstance(command, str) else command[:60])
        self.changed, self.stale = set(), set()
        self.told_highest, self.seen_modseq, self.resync = None, 0, None
        self.floor = dict(self.world.highest)
        self.pending = dict(more, verb=verb, tag=self.c.send(command))

    def end(self, status=("OK",)):
        """Reads to the end of the command."""
        pending, untagged = self.pending, []
        if pending["verb"] == "IDLE":
            self.c.raw(b"DONE\r\n")
        while True:
            line = self.c.line()
            if line.startswith(pending["tag"] + b" "):
                break
            untagged.append(line)
            self.line(line)
        self.world.note(self.name, "<", line.decode("latin-1"))
        self.code(line)
        self.pending = None
        result = line.split(b" ")[1].decode()
        if pending["verb"] in ("FETCH", "STORE", "COPY", "MOVE", "UID FETCH", "UID STORE") and status == ("OK",):
            status = ("OK", "NO")  # [EXPUNGEISSUED]
        assert result in status, "session %s: %r" % (self.name, line)
        if self.told_highest is not None:
            self.modseq = self.told_highest
        else:
            self.modseq = max(self.modseq, self.seen_modseq)
        if pending.get("then"):
            pending["then"](result, line, untagged)
        missing = [name for flags in self.flags.values() for name in flags if name not in self.names]
        if self.box and missing:
            self.fail("keywords that FLAGS does not name: %r" % missing)
        return line, untagged

    def do(self, verb, command, **more):
        self.send(verb, command, **more)
        return self.end()

    def news(self):
        """What came without being asked for: only IDLE allows it."""
        while self.pending and self.pending["verb"] == "IDLE":
            if b"\r\n" not in self.c.buffer and not select.select([self.c.sock], [], [], 0)[0]:
                return
            line = self.c.line()
            if not line.startswith(b"+"):
                self.line(line)

    def select(self, box, examine=False, saved=None):
        self.selected = self.world.number()
        self.forget()
        self.box, self.read_only = box, examine
        parameter = " (CONDSTORE)" if self.condstore else ""
        if saved:
            known = ""
            if self.world.random.random() < 0.4 and saved["flags"]:
                known = " 1:%d" % max(saved["flags"])
            parameter = " (QRESYNC (%d %d%s))" % (saved["validity"], saved["modseq"], known)
        self.send("SELECT", ("EXAMINE " if examine else "SELECT ") + box + parameter,
                  then=lambda *answer: self.resynced(saved, *answer) if saved else None)
        if saved:
            self.resync = dict(saved["flags"])

    def resynced(self, saved, result, line, untagged):
        """Old state, less what vanished, with what was fetched: are they the first of the mailbox? What came after them is
        asked for by UIDNEXT, as clients do: it may be older than the mod-sequence that the client had heard of."""
        if saved["validity"] != self.validity:
            return
        model = {**self.resync, **self.flags}
        uids = sorted(model)
        if len(uids) > len(self.uids):
            self.fail("after QRESYNC %d messages are known and only %d are there: %r" % (len(uids), len(self.uids), uids), line)
        for seq, uid in enumerate(uids):
            if self.uids[seq] not in (None, uid):
                self.fail("after QRESYNC number %d is %s instead of %d" % (seq + 1, self.uids[seq], uid), line)
            self.uids[seq] = uid
        self.flags = model

    def leave(self):
        """The connection breaks; the state is kept."""
        if self.pending:
            self.end()
        if self.qresync and self.box:
            self.ask_news()
            self.saved = {"box": self.box, "validity": self.validity, "modseq": self.modseq,
                          "flags": {u: self.flags[u] for u in self.uids if u in self.flags}}
            if len(self.saved["flags"]) != len(self.uids):
                self.saved = None
        self.c.close()
        self.c, self.box = None, None

    def ask_news(self):
        """What is not known of the messages that are there. By UID, so EXPUNGEs may come with it."""
        for tries in range(20):
            if self.unknown() == len(self.uids):
                return
            if tries:  # another program has taken the file away: that is seen when the server looks
                self.do("NOOP", "NOOP")
            first = 1 + max([0] + [u for u in self.uids[:self.unknown()] if u])
            self.do("UID FETCH", "UID FETCH %d:* (UID FLAGS%s BODY.PEEK[HEADER.FIELDS (X-ID)])" % (
                first, " MODSEQ" if self.condstore else ""))
        self.fail("there is no knowing what is there")

    def unknown(self):
        """How many there are before the first that is not known."""
        return min(n for n, u in enumerate(self.uids + [None]) if u is None or u not in self.flags)

    def full(self):
        """Everything anew: it must be what was believed."""
        before = dict(self.flags)
        uids = list(self.uids)
        self.do("FETCH", "FETCH 1:* (UID FLAGS%s BODY.PEEK[HEADER.FIELDS (X-ID)])" % (" MODSEQ" if self.condstore else "")) if uids else None
        if self.uids != uids:
            self.fail("the list was another: %r" % uids)
        for uid, flags in self.flags.items():
            if before.get(uid, flags) != flags:
                self.fail("UID %d had %s and has %s, and nobody said so" % (uid, sorted(before[uid]), sorted(flags)))

    # --- random commands; `exact`: nobody else does anything meanwhile

    def some(self):
        """Some of the messages that are known: (seq, uid)."""
        known = [(n + 1, u) for n, u in enumerate(self.uids) if u]
        return sorted(self.world.random.sample(known, min(len(known), self.world.random.choice((1, 1, 2, 3, 8)))))

    def step(self, exact=False):
        r = self.world.random
        if self.c is None:
            self.connect()
            if self.saved and r.random() < 0.9:
                self.select(self.saved["box"], r.random() < 0.2, self.saved)
                self.saved = None
            return
        if self.pending:
            self.end()
            return
        if self.box is None or r.random() < 0.04:
            self.select(r.choice(list(BOXES)), r.random() < 0.2)
            return
        if r.random() < 0.3:
            self.ask_news()
        getattr(self, "do_" + r.choice(("noop", "fetch", "fetch", "store", "store", "store", "store", "append", "copy", "move",
                                        "expunge", "uid_expunge", "search", "idle", "unselect", "break")))(exact)

    def do_noop(self, exact):
        self.send("NOOP", self.world.random.choice(("NOOP", "CHECK")))

    def do_idle(self, exact):
        self.send("IDLE", "IDLE")

    def do_unselect(self, exact):
        close = self.world.random.random() < 0.3

        def left(*answer):
            self.box = None
        if close:
            self.send("CLOSE", "CLOSE", then=left)
        elif self.qresync and self.world.random.random() < 0.7:
            self.ask_news()
            saved = {"validity": self.validity, "modseq": self.modseq, "flags": {u: self.flags[u] for u in self.uids if u}}
            if len(saved["flags"]) == len(self.uids):
                self.select(self.box, self.read_only, saved)
        else:
            self.send("UNSELECT", "UNSELECT", then=left)

    def do_break(self, exact):
        if self.world.random.random() < 0.5:
            self.leave()

    def do_append(self, exact):
        r = self.world.random
        box, flags, texts = r.choice(list(BOXES)), [], []
        command = b"APPEND " + box.encode()
        for _ in range(r.choice((1, 1, 1, 2, 3))):
            number, text = self.world.text()
            flags.append(frozenset(r.sample(FLAGS, r.choice((0, 0, 1, 2)))))
            texts.append(number)
            command += (" (%s) {%d+}\r\n" % (" ".join(flags[-1]), len(text))).encode() + text

        def added(result, line, untagged):
            code = re.search(rb"\[APPENDUID (\d+) (\S+)\]", line)
            for uid, number in zip(parse_set(code.group(2).decode()), texts):
                self.world.identify(box, int(code.group(1)), uid, number)
        self.send("APPEND", command, then=added)

    def chosen(self, verb):
        """(verb, prefix, set, messages) by numbers or by UIDs."""
        some = self.some()
        if self.world.random.random() < 0.5:
            return verb, verb + " " + format_set(s for s, _ in some), some
        return "UID " + verb, "UID " + verb + " " + format_set(u for _, u in some), some

    def do_fetch(self, exact):
        verb, command, some = self.chosen("FETCH")
        if some:
            items = self.world.random.choice(("FLAGS", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (X-ID)])", "(UID)", "(UID FLAGS INTERNALDATE ENVELOPE)"))
            if self.condstore and self.world.random.random() < 0.3:
                items = "(UID FLAGS MODSEQ) (CHANGEDSINCE %d)" % self.world.random.randrange(self.modseq + 2)
            elif not exact and self.world.random.random() < 0.1 and not self.read_only:
                items = "BODY[TEXT]"  # sets \Seen
            self.send(verb, command + " " + items)

    def do_search(self, exact):
        if self.rev2:
            return

        def found(result, line, untagged):
            flagged = {u for u in self.uids if u and r"\Seen" in self.flags.get(u, ())}
            if exact and all(u in self.flags for u in self.uids):
                answer = [l for l in untagged if l.startswith(b"* SEARCH")][0].split()[2:]
                assert {int(n) for n in answer} == flagged, (answer, flagged)
        self.send("UID SEARCH", "UID SEARCH SEEN", then=found)

    def do_store(self, exact):
        r = self.world.random
        verb, command, some = self.chosen("STORE")
        if not some or self.read_only:
            return
        how, silent = r.choice(("", "+", "+", "-")), r.random() < 0.4
        given = frozenset(r.sample(FLAGS, r.choice((1, 1, 2, 3)) if how else r.choice((0, 1, 2))))
        since = None
        if self.condstore and r.random() < 0.3:
            since = max(0, self.modseq - r.randrange(12))
            command += " (UNCHANGEDSINCE %d)" % since
        before = {u: (self.flags.get(u), self.modseqs.get(u)) for _, u in some}

        def stored(result, line, untagged):
            kept = re.search(rb"\[MODIFIED ([^]]*)\]", line)
            kept = set(parse_set(kept.group(1).decode())) if kept else set()
            if verb == "STORE":
                kept = {u for s, u in some if s in kept}
            assert since is not None or not kept, line
            if result == "OK":
                for _, uid in some:
                    if silent and uid not in kept and uid not in self.changed and uid in self.flags:
                        self.flags[uid] = applied(how, self.flags[uid], given)
            if exact:
                self.check_stored(some, before, how, given, since, kept, line)
        self.send(verb, "%s %sFLAGS%s (%s)" % (command, how, ".SILENT" if silent else "", " ".join(sorted(given))), then=stored)

    def check_stored(self, some, before, how, given, since, kept, line):
        for _, uid in some:
            flags, modseq = before[uid]
            if flags is None or uid not in self.flags:
                continue
            if since is not None and modseq is not None and (modseq > since) != (uid in kept):
                self.fail("UNCHANGEDSINCE %d and MODSEQ %d of UID %d" % (since, modseq, uid), line)
            want = flags if uid in kept else applied(how, flags, given)
            if self.flags[uid] != want:
                self.fail("UID %d has %s instead of %s" % (uid, sorted(self.flags[uid]), sorted(want)), line)
            if self.condstore and modseq is not None:
                now = self.modseqs[uid]
                if (now > modseq) != (want != flags):
                    self.fail("MODSEQ of UID %d was %d and is %d" % (uid, modseq, now), line)

    def copied(self, to, some, line, untagged):
        code = re.search(rb"\[COPYUID (\d+) (\S+) (\S+)\]", b" ".join(untagged + [line]))
        if code is None:
            return set()
        uids = parse_set(code.group(2).decode())
        if not set(uids) <= {u for _, u in some}:
            self.fail("COPYUID names what was not asked for", line)
        for uid, new in zip(uids, parse_set(code.group(3).decode())):
            number = self.world.content.get((self.box, self.validity, uid))
            if number is not None:
                self.world.identify(to, int(code.group(1)), new, number)
        return set(uids)

    def do_copy(self, exact, verb="COPY"):
        verb, command, some = self.chosen(verb)
        to = self.world.random.choice([b for b in BOXES if b != self.box or verb.endswith("COPY")])
        if not some or (verb.endswith("MOVE") and self.read_only):
            return

        def done(result, line, untagged):
            moved = self.copied(to, some, line, untagged)
            if exact and moved != {u for _, u in some}:
                self.fail("not all were taken", line)
            if exact and verb.endswith("MOVE") and moved & set(self.uids):
                self.fail("moved and still there", line)
        self.send(verb, command + " " + to, then=done)
        if self.world.random.random() < 0.7:
            self.end(("OK", "NO"))

    def do_move(self, exact):
        self.do_copy(exact, "MOVE")

    def do_expunge(self, exact, verb="EXPUNGE", some=None):
        if self.read_only:
            return
        asked = set(self.uids) if some is None else {u for _, u in some}

        def done(result, line, untagged):
            if not exact or not all(u in self.flags for u in self.uids):
                return
            left = {u for u in self.uids if u in asked and r"\Deleted" in self.flags[u]}
            if left:
                self.fail("not expunged: %r" % left, line)
            if set(known) - set(self.uids) != {u for u, f in known.items() if r"\Deleted" in f and u in asked}:
                self.fail("expunged: %r of %r" % (set(known) - set(self.uids), known), line)
        known = dict(self.flags)
        self.send("EXPUNGE", verb, then=done)

    def do_uid_expunge(self, exact):
        some = self.some()
        if some:
            self.do_expunge(exact, "UID EXPUNGE " + format_set(u for _, u in some), some)


def settle(world, sessions):
    """Everybody has heard of everything: all models, and the names on the disk, are the same."""
    for s in sessions:
        if s.c is None:
            s.step()
        while s.pending:
            s.end()
        if s.box is None:
            s.select(world.random.choice(list(BOXES)))
            s.end()
    world.wait_delivered()
    end = time.monotonic() + 10
    while True:
        complaint = None
        for s in sessions:
            s.do("NOOP", "NOOP")
            s.ask_news()
            disk = world.on_disk(s.box)
            if disk is None:
                complaint = "there are files without a UID in " + s.box
            elif {u: s.flags[u] for u in s.uids} != disk:
                complaint = "session %s on %s has %r, the disk %r" % (
                    s.name, s.box, sorted((u, sorted(s.flags[u])) for u in s.uids if disk.get(u) != s.flags[u]),
                    sorted((u, sorted(f)) for u, f in disk.items() if s.flags.get(u) != f or u not in s.uids))
        if complaint is None:
            break
        assert time.monotonic() < end, complaint
        time.sleep(0.02)
    settled(world, sessions)


def settled(world, sessions):
    by_box = {}
    for s in sessions:
        s.full()
        modseqs = {u: s.modseqs.get(u) for u in s.uids}
        if s.condstore:
            other = by_box.setdefault(s.box, modseqs)
            if other != modseqs:
                s.fail("other MODSEQs than another session's: %r" % other)
            _, untagged = s.do("STATUS", "STATUS %s (HIGHESTMODSEQ MESSAGES UIDNEXT)" % s.box)
            status = [l for l in untagged if l.startswith(b"* STATUS")][0].decode()
            highest, count, uidnext = (int(re.search(word + r" (\d+)", status).group(1)) for word in ("HIGHESTMODSEQ", "MESSAGES", "UIDNEXT"))
            world.rises("HIGHESTMODSEQ", s.box, highest, s.floor)
            world.rises("UIDNEXT", s.box, uidnext, s.floor)
            if count != len(s.uids) or uidnext <= max(s.uids or [0]) or highest < max(list(modseqs.values()) or [0]):
                s.fail("STATUS is wrong", status)
        elif not s.rev2 and s.recents is not None:
            recent = s.c.do("FETCH 1:* FLAGS").all(rb"\\Recent") if s.uids else []
            if len(recent) != s.recents:
                s.fail("%d are recent, and RECENT said %d" % (len(recent), s.recents))


def exact_steps(world, sessions, count):
    """One after the other, nobody in between: each answer can be foretold."""
    for _ in range(count):
        s = world.random.choice(sessions)
        for _ in range(20):
            if s.c is None or s.box is None or s.pending:
                s.step()
                continue
            break
        if s.c is None or s.box is None or s.pending:
            continue
        s.do("NOOP", "NOOP")
        s.ask_news()
        s.step(exact=True)
        while s.c is not None and s.pending:
            s.end()


def run(t, seed, steps):
    world = World(t, seed)
    with Imap(world.server.ports["imap", "none"]) as c:
        c.login()
        c.do("CREATE Work")
    sessions = [Session(world, "abcdefgh"[n], kind) for n, kind in enumerate(KINDS)]
    try:
        for s in sessions:
            s.forget()
        for _ in range(6):
            world.deliver()
        for round_ in range(max(1, steps // 100)):
            for _ in range(80):
                chance = world.random.random()
                if chance < 0.08:
                    world.deliver()
                elif chance < 0.18:
                    world.other_program()
                else:
                    world.random.choice(sessions).step()
                for s in sessions:
                    s.news()
            settle(world, sessions)
            exact_steps(world, sessions, 20)
            settle(world, sessions)
    except BaseException:
        with open(os.path.join(t.dir, "trace"), "w", encoding="utf-8") as out:
            out.write("\n".join(world.trace))
        print("seed %d; all of it is in %s/trace (--keep); what came last:\n%s" % (seed, t.dir, "\n".join(world.trace[-100:])))
        raise
    finally:
        for s in sessions:
            if s.c is not None:
                s.c.close()
    world.smtp.close()
    world.server.stop()


def seeds():
    text = os.environ.get("FACTEUR_MODEL_SEEDS", str(SEEDS))
    return [int(s) for s in text.split(",")] if "," in text else list(range(1, int(text) + 1))


def make(part):
    def test(t):
        for n, seed in enumerate(seeds()):
            if n % SEEDS == part:
                t.dir = os.path.join(t.dir, "s%d" % seed)
                os.mkdir(t.dir)
                give(t.dir)
                run(t, seed, int(os.environ.get("FACTEUR_MODEL_STEPS", STEPS)))
                t.dir = os.path.dirname(t.dir)
    test.seconds = 90 if "FACTEUR_MODEL_SEEDS" not in os.environ else 3600
    return test


test_model_one, test_model_two, test_model_three = make(0), make(1), make(2)
