#!/usr/bin/env python3
"""facteur and Dovecot side by side on this machine, over IMAP: one table with both, their ratio, and what issue 3 asked
for.

Both serve copies of the same Maildirs and take turns; speed is measured here and asserted nowhere, so the exit status is
0 unless the tool itself failed. docs/performance.md says what each row means. Run it as root on a machine that does
nothing else.
"""
import argparse
import concurrent.futures
import contextlib
import datetime
import json
import os
import re
import resource
import select
import shutil
import signal
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

import run as table  # before imap_rig: the tests' folder has a run.py too
import imap_rig as rig
import measure
from imap_rig import Client, Dovecot, Facteur
from lib import HOST

MIB = 1 << 20
BEGIN, END = "<!-- begin of IMAP measured -->", "<!-- end of IMAP measured -->"
HEAD = ("case", "facteur", "Dovecot", "ratio", "target", "reached")
REST = 15  # seconds until what is measured as idle has been so for a while
PER_USER = 4  # idle connections of one user, as with two phones and two desktops
ENVELOPES = "FETCH 1:* (UID FLAGS ENVELOPE)"
# Those that make files come before the one that deletes them by ten thousands.
CASES = ("fetch10k", "fetch100k", "body", "store", "search", "append", "login", "arrival", "expunge", "memory",
         "memory-tls")
QUICK = ("fetch10k", "body", "store", "search", "append", "login", "arrival", "expunge", "memory")


class Bench:
    def __init__(self, options, folder):
        self.options, self.dir = options, folder
        self.rows, self.notes, self.stalls = [], [], []
        missing = Dovecot.why_not()
        self.with_dovecot = not missing
        if missing:
            self.notes.append("Dovecot was not measured: %s." % missing)

    # --- the servers

    def corpus(self, count):
        return rig.make_corpus(os.path.join(self.options.corpus, str(count)), count)

    @contextlib.contextmanager
    def servers(self, key, users, fill=None):
        """Both, fresh, with Maildirs that neither has seen (fill: {user: (corpus, copied)}). What they stored stays
        until the end of the run: ext4 makes new files expensive for some minutes after many were deleted."""
        folder = os.path.join(self.dir, key)
        os.mkdir(folder, 0o755)
        found = [Facteur(folder, self.options.binary, users)]
        if self.with_dovecot:
            found.append(Dovecot(folder, found[0].pair, users))
        for server in found:
            for user, (corpus, copied) in (fill or {}).items():
                server.prepare(user)
                rig.fill(server.maildir(user), corpus, copied)
        os.sync()
        with contextlib.ExitStack() as stack:
            for server in found:
                stack.callback(server.stop)
                server.start()
            for server in found:
                rig.quiesce(server)
            yield found
            self.stalled(key, found[0])

    def stalled(self, key, facteur):
        stalls = facteur.stalls()
        self.stalls.append([stalls["longest_us"] / 1000, stalls["over_50_ms"], key, stalls["longest_what"]])

    # --- rows

    def row(self, title, facteur, dovecot, unit, ratio=None, target="", reached=None):
        self.rows.append([title, facteur, dovecot, unit, ratio, target, reached])
        print("  " + "  ".join(table.text(self.rows[-1])), flush=True)

    def versus(self, title, found, unit, factor=None, higher=True):
        """A row with a ratio; `found` is {server: figures}, of which the median counts."""
        a, b = (statistics.median(found[s]) if found.get(s) else None for s in ("facteur", "dovecot"))
        ratio = None
        if a and b:
            ratio = a / b if higher else b / a
        target = "" if factor is None else "≥ %g ×" % factor if higher or factor < 5 else "≤ 1/%g" % factor
        self.row(title, a, b, unit, ratio, target, None if factor is None or ratio is None else ratio >= factor)

    # --- reading

    def fetch(self, key, count, title, rounds, parts, factors):
        corpus = self.corpus(count)
        users = ["u%d" % i for i in range(rounds)]
        found = {}
        with self.servers(key, users, {u: (corpus, False) for u in users}) as servers:
            for user in users:
                for server in servers:
                    print("   ", server.name, end=" ", flush=True)
                    for part in parts:
                        if part == "settled":
                            rig.quiesce(server)
                        with Client(server, user) as c:
                            took = c.do("SELECT INBOX") + c.do(ENVELOPES)
                            if c.last_number(b"FETCH") != count:
                                raise RuntimeError("%s did not tell all messages" % server.name)
                            print("%s %.3f s (%.1f MiB)" % (part, took, c.octets / MIB), end=", ", flush=True)
                            found.setdefault(part, {}).setdefault(server.name, []).append(took)
                            c.do("LOGOUT")
                    print(flush=True)
        for part, words in (("cold", "first session, no index"), ("second", "second session"),
                            ("settled", "settled index")):
            if part in found:
                self.versus("SELECT, envelopes of %s, %s" % (title, words), found[part], "s", factors.get(part), False)

    def fetch10k(self):
        self.fetch("fetch10k", 10000, "10,000", self.options.rounds, ("cold", "second", "third", "settled", "settled"),
                   {"cold": 2, "second": 10, "settled": 2})

    def fetch100k(self):
        self.fetch("fetch100k", 100000, "100,000", 1, ("cold", "second", "second"), {})

    def warm(self, server, user):
        with Client(server, user) as c:
            c.do("SELECT INBOX")
            c.do(ENVELOPES)
        rig.quiesce(server)

    def on_10k(self, key, measured, users=("u0",), copied=False):
        """{server: [figures]} of measured(client) on settled mailboxes of 10,000."""
        corpus = self.corpus(10000)
        found = {}
        with self.servers(key, list(users), {u: (corpus, copied) for u in users}) as servers:
            for server in servers:
                for user in users:
                    self.warm(server, user)
            for user in users:
                for _ in range(self.options.rounds if len(users) == 1 else 1):
                    for server in servers:
                        os.sync()
                        with Client(server, user) as c:
                            c.do("SELECT INBOX")
                            found.setdefault(server.name, []).extend(measured(c))
        print("   ", found, flush=True)
        return found

    def body(self):
        found = self.on_10k("body", lambda c: [10000 / c.do("FETCH 1:* BODY[]") for _ in range(2)])
        self.versus("FETCH BODY[] of 10,000", found, "/s", 1.5)

    def store(self):
        found = self.on_10k("store", lambda c: [10000 / c.do("STORE 1:* %sFLAGS (\\Flagged)" % sign) for sign in "+-"])
        self.versus("STORE of 10,000 flags", found, "/s", 2)

    def expunge(self):
        def measured(c):
            c.do("STORE 1:* +FLAGS.SILENT (\\Deleted)")
            return [10000 / c.do("EXPUNGE")]
        found = self.on_10k("expunge", measured, ["u%d" % i for i in range(self.options.rounds)], True)
        self.versus("EXPUNGE of 10,000", found, "/s")

    def search(self):
        def measured(c):
            took = []
            for _ in range(5):
                took.append(c.do("SEARCH TEXT " + rig.RARE) * 1000)
                if len(re.search(rb"\* SEARCH([ \d]*)", c.tail)[1].split()) != 3:
                    raise RuntimeError("SEARCH found %r" % c.tail)
            return took
        found = self.on_10k("search", measured)
        a, b = (statistics.median(found[s]) if s in found else None for s in ("facteur", "dovecot"))
        self.row("SEARCH TEXT of a rare word in 10,000", a, b, "ms", b / a if b else None, "≤ 10 ms", a <= 10)

    # --- writing

    def load(self, *arguments):
        """What a second it did, by imap_load.c."""
        program = os.path.join(self.dir, "imap_load")
        if not os.path.exists(program):
            rig.build_load(self.dir)
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError("imap_load: " + done.stderr.strip()[-300:])
        said = json.loads(done.stdout)
        return said["count"] / said["seconds"]

    def loaded(self, key, verb, sessions, *more):
        found = {}
        with self.servers(key, ["u0"], {"u0": (self.corpus(100), False)}) as servers:
            for server in servers:
                self.warm(server, "u0")
                self.load(verb, HOST, server.port, rig.address("u0"), rig.PASSWORD, sessions, 0.5, *more)
            for _ in range(self.options.rounds):
                for server in servers:
                    rig.quiesce(server)
                    found.setdefault(server.name, []).append(self.load(
                        verb, HOST, server.port, rig.address("u0"), rig.PASSWORD, sessions, self.options.seconds,
                        *more))
        print("   ", found, flush=True)
        return found

    def append(self):
        corpus = self.corpus(100)
        message = os.path.join(self.dir, "message")
        with open(os.path.join(corpus, sorted(os.listdir(corpus))[7]), "rb") as f, open(message, "wb") as out:
            out.write(f.read().replace(b"\n", b"\r\n"))
        for sessions in (1, 10):
            found = self.loaded("append%d" % sessions, "append", sessions, message)
            self.versus("APPEND of %.1f KiB, %d connection%s" % (os.path.getsize(message) / 1024, sessions,
                                                                 "s" if sessions > 1 else ""), found, "/s", 6)

    def login(self):
        found = self.loaded("login", "logins", 8)
        self.versus("login, SELECT, LOGOUT with 8 connections", found, "/s", 2)

    # --- news

    def arrival(self):
        """From the sender's 250 (Dovecot: from the file's renaming into new/) to EXISTS in a session in IDLE."""
        found = {}
        count = 60 if self.options.quick else 200
        with self.servers("arrival", ["u0"], {"u0": (self.corpus(100), False)}) as servers:
            for server in servers:
                self.warm(server, "u0")
                with Client(server, "u0") as c:
                    c.do("SELECT INBOX")
                    c.idle()
                    deliver = Sender(server.smtp_port) if server.name == "facteur" else Mover(server.maildir("u0"))
                    times = [deliver.until_told(c, i) for i in range(count if server.name == "facteur" else count // 5)]
                found[server.name] = sorted(times)
        for words, part in (("p50", 0.5), ("p99", 0.99)):
            a, b = (found[s][min(len(found[s]) - 1, int(len(found[s]) * part))] if s in found else None
                    for s in ("facteur", "dovecot"))
            self.row("delivery to EXISTS in IDLE, %s" % words, a, b, "ms", b / a if a and b else None,
                     "≤ 5 ms" if words == "p99" else "", a <= 5 if words == "p99" else None)

    # --- memory

    def hold(self, server, counts, tls):
        """What so many idle connections take beyond none: {count: (RSS, PSS)}."""
        time.sleep(1)
        first = measure.memory_octets(server.pid)
        clients, result = [], {}

        def connect(i):
            c = Client(server, "u%d" % (i // PER_USER), tls)
            c.do("SELECT INBOX")
            c.idle()
            return c
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for count in counts:
                clients += pool.map(connect, range(len(clients), count))
                time.sleep(REST)
                rig.quiesce(server, 20)
                now = measure.memory_octets(server.pid)
                result[count] = [(now[i] - first[i]) / count / 1024 for i in (0, 1)]
                print("    %s, %d connections: %.1f KiB RSS, %.1f KiB PSS each; before them %.1f and %.1f MiB" % (
                    server.name, count, *result[count], first[0] / MIB, first[1] / MIB), flush=True)
        for c in clients:
            c.sock.close()
        return result

    def memory_of(self, key, tls, factor):
        counts = [n for n in (100, 1000, 5000) if n <= self.options.connections]
        users = ["u%d" % i for i in range((max(counts) + PER_USER - 1) // PER_USER)]
        found = {}
        # one after the other: five thousand processes leave no quiet machine for the other server
        with self.servers(key, users) as servers:
            for server in servers:
                for user in users:
                    server.prepare(user)
                found[server.name] = self.hold(server, counts, tls)
                if server.name == "facteur":
                    self.stalled(key, server)
                server.stop()
                if server.name == "facteur":
                    server.server.start()
        for i, words in ((1, "PSS"), (0, "RSS")):
            for count in counts:
                self.versus("%s an idle connection%s, %s" % (words, " with TLS" if tls else "", "{:,}".format(count)),
                            {s: [f[count][i]] for s, f in found.items()}, "KiB", factor if i == 1 else None, False)

    def memory(self):
        self.memory_of("memory", False, 10)

    def memory_tls(self):
        self.memory_of("memory-tls", True, 5)

    def run(self):
        for key in CASES:
            if key not in self.options.cases:
                continue
            print(key, flush=True)
            before = len(self.rows)
            try:
                getattr(self, key.replace("-", "_"))()
            except (RuntimeError, TimeoutError, OSError, EOFError, AssertionError, subprocess.SubprocessError) as e:
                traceback.print_exc()
                self.notes.append("`%s` failed: %s." % (key, str(e).splitlines()[0] if str(e) else type(e).__name__))
                self.options.failed = True
            self.options.kept[key] = self.rows[before:]


class Sender:
    """Delivers by SMTP."""

    def __init__(self, port):
        self.smtp = smtplib.SMTP(HOST, port)
        self.smtp.ehlo("client.example")

    def until_told(self, client, i):
        self.smtp.mail("someone@client.example")
        self.smtp.rcpt(rig.address("u0"))
        self.smtp.putcmd("data")
        self.smtp.getreply()
        self.smtp.send(b"From: a@client.example\r\nSubject: %d\r\n\r\nhello\r\n.\r\n" % i)
        mail, idle = self.smtp.sock, client.sock
        times = {}
        while len(times) < 2:
            for s in select.select([x for x in (mail, idle) if x not in times], [], [], 20)[0]:
                octets = s.recv(65536)
                if s is mail and not octets.startswith(b"250"):
                    raise RuntimeError("DATA: %r" % octets)
                if s is mail or b"EXISTS" in octets:
                    times[s] = time.perf_counter()
        time.sleep(0.02)
        return max(0.001, (times[idle] - times[mail]) * 1000)


class Mover:
    """Delivers as a delivery agent does: a file from tmp/ to new/."""

    def __init__(self, maildir):
        self.maildir = maildir

    def until_told(self, client, i):
        name = "%d.M%dP2.bench" % (time.time(), i)
        path = os.path.join(self.maildir, "tmp", name)
        with open(path, "wb") as out:
            out.write(b"From: a@client.example\nSubject: %d\n\nhello\n" % i)
        os.utime(path, (time.time() - 10,) * 2)  # of a program that syncs it before
        rig.lib.give(path)
        began = time.perf_counter()
        os.rename(path, os.path.join(self.maildir, "new", name))
        client.until(re.compile(rb"EXISTS"), "IDLE")
        took = (time.perf_counter() - began) * 1000
        time.sleep(0.02)
        return took


# --- the page

def report(bench, options):
    rows = [r for key in CASES for r in options.kept.get(key, [])]
    stalls = options.kept.get("stalls", []) + bench.stalls
    stalls = [s for s in stalls if s not in bench.stalls and s[2].split("-")[0] not in
              {b[2].split("-")[0] for b in bench.stalls}] + bench.stalls
    options.kept["stalls"] = stalls
    notes = list(bench.notes)
    if stalls:
        longest, _, case, what = max(stalls)
        rows.append(["longest stall of the loop", longest, None, "ms", None, "≤ 50 ms", longest <= 50])
        notes.append("The loop's longest stall was in `%s` (%s); %d were above 50 ms." %
                     (what, case, sum(s[1] for s in stalls)))
    about = measure.machine() + [("file system", measure.file_system(bench.dir)),
                                 ("facteur", table.version(options.binary, "version"))]
    if bench.with_dovecot:
        about.append(("Dovecot", table.version("dovecot", "--version").split(" ")[0]))
    about.append(("date", datetime.date.today().isoformat()))
    return "\n".join(["%s: %s  " % a for a in about] + ["", table.table(rows, HEAD)] + [""] +
                     ["- " + n for n in notes])


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                epilog="cases: " + " ".join(CASES))
    p.add_argument("binary", nargs="?", default=os.path.join(rig.lib.ROOT, "build", "release", "facteur"),
                   help="facteur, built with the preset release (default: build/release/facteur)")
    p.add_argument("--quick", action="store_true", help="fewer cases, one short round each: about two minutes")
    p.add_argument("--cases", metavar="A,B", help="only these")
    p.add_argument("--seconds", type=float, help="how long a load lasts (default 4; quick 1.5)")
    p.add_argument("--rounds", type=int, help="trials of each server, in turns; the median counts (default 3; quick 1)")
    p.add_argument("--connections", type=int, help="at most so many idle ones (default 5000; quick 1000)")
    p.add_argument("--dir", default="/var/tmp", help="where the servers' directories are made (default /var/tmp)")
    p.add_argument("--corpus", help="where the messages are made and kept for another run (default: removed)")
    p.add_argument("--leave", action="store_true", help="does not remove the servers' directories")
    p.add_argument("--json", metavar="FILE", help="keeps the rows there; those of cases not run now stay, and are shown")
    p.add_argument("--write", metavar="PAGE", help="writes the table between the two marks of this page")
    o = p.parse_args()
    o.seconds = o.seconds or (1.5 if o.quick else 4)
    o.rounds = o.rounds or (1 if o.quick else 3)
    o.connections = o.connections or (1000 if o.quick else 5000)
    o.cases = set(o.cases.split(",")) if o.cases is not None else set(QUICK if o.quick else CASES)
    if not o.cases <= set(CASES) | {""}:
        p.error("no such case")
    if not os.access(o.binary, os.X_OK):
        p.error("%s is not there: cmake --preset release && cmake --build --preset release" % o.binary)
    if o.write:
        table.page_around(o.write, BEGIN, END)
    o.kept = {}
    if o.json and os.path.exists(o.json):
        with open(o.json, encoding="utf-8") as f:
            o.kept = json.load(f)
    o.failed = False
    return o


def main():
    options = parse()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix="facteur-imap-", dir=options.dir)
    os.chmod(folder, 0o755)
    options.corpus = options.corpus or os.path.join(folder, "corpus")
    # ext4 then gives each case's directory inodes of its own instead of those beside their parent's
    if shutil.which("chattr"):
        subprocess.run(["chattr", "+T", folder], stderr=subprocess.DEVNULL, check=False)
    try:
        bench = Bench(options, folder)
        bench.run()
        content = report(bench, options)
    finally:
        if not options.leave:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n" + content)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            json.dump(options.kept, out, indent=1)
    if options.write:
        table.write_into(options.write, content, BEGIN, END)
    return 1 if options.failed else 0


if __name__ == "__main__":
    sys.exit(main())
