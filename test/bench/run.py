#!/usr/bin/env python3
"""facteur and Postfix side by side on this machine: one table with both, their ratio, and what issue 2 asked for.

The two take turns (A B A B) under the same load; speed is measured here and asserted nowhere, so the exit status is 0
unless the tool itself failed. docs/performance.md says what each row means. Run it on a machine that does nothing else.
"""
import argparse
import contextlib
import datetime
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

import measure
import rig
from rig import Facteur, Load, Postfix, Sink, wait_until

KIB, MIB = 1024, 1 << 20
BEGIN, END = "<!-- begin of measured -->", "<!-- end of measured -->"


class Case:
    """One load. Targets are those of issue 2: `accept` and `maildir` as multiples of Postfix's rate."""

    def __init__(self, key, title, sessions=1, octets=4 * KIB, recipients=1, keep=False, accept=None, maildir=None,
                 cpu=False, to=rig.USER, more=()):
        self.key, self.title, self.sessions, self.octets, self.recipients = key, title, sessions, octets, recipients
        self.keep, self.accept, self.maildir, self.cpu, self.to, self.more = keep, accept, maildir, cpu, to, list(more)


def throughput_cases():
    for octets, size in ((4 * KIB, "4 KiB"), (100 * KIB, "100 KiB"), (5 * MIB, "5 MiB")):
        for sessions in (1, 10, 50, 200, 500):
            accept = {50: 10, 500: 20}.get(sessions) if octets == 4 * KIB else 2
            yield Case("%dx%s" % (sessions, size.replace(" ", "").lower()), "%d session%s × %s" %
                       (sessions, "s" if sessions > 1 else "", size), sessions, octets, accept=accept,
                       maildir=8 if (sessions, octets) == (50, 4 * KIB) else None, cpu=octets == 4 * KIB)
    yield Case("1x4kib-kept", "1 session × 4 KiB, one connection", 1, keep=True, accept=4, cpu=True)
    yield Case("50x4kib-kept", "50 sessions × 4 KiB, connections kept", 50, keep=True, accept=10, maildir=8, cpu=True)
    yield Case("20rcpt", "10 sessions × 100 KiB, 20 local recipients", 10, 100 * KIB, 20, accept=10, maildir=10)


RELAY = Case("relay", "relay to smtp-sink, 50 sessions × 4 KiB", 50, to="user@" + rig.ELSEWHERE, cpu=True)
QUIET = Case("latency", "quiet client, connect to 250", 1, more=["-w", "5"])
CALLS = Case("syscalls", "system calls", 50)
QUICK = {"1x4kib", "50x4kib", "500x4kib", "50x100kib", "10x5mib", "1x4kib-kept", "20rcpt"}
OTHERS = ["relay", "latency", "memory", "syscalls"]


class Bench:
    def __init__(self, options, folder):
        self.options, self.dir = options, folder
        self.rows, self.notes, self.raw, self.stalls = [], [], [], []
        self.sink = None
        self.load = Load(folder)

    # --- the servers

    def start_sink(self, stack):
        self.sink_port = rig.free_port()
        if shutil.which("smtp-sink"):
            self.sink = Sink(self.sink_port)
            stack.callback(self.sink.stop)
        missing = Postfix.why_not()
        self.with_postfix = not missing
        if missing:
            self.notes.append("Postfix was not measured: %s." % missing)

    @contextlib.contextmanager
    def servers(self, case):
        """Both, fresh. Each case has its own, and what they stored stays until the end of the run: ext4 does not give
        away an inode that was freed in the last minutes and looks at each of them again for every new file, so that
        deleting one case's files makes the next one's slow. Large files are few, and go at once."""
        folder = os.path.join(self.dir, case.key)
        os.mkdir(folder, 0o755)
        with contextlib.ExitStack() as stack:
            facteur = Facteur(folder, self.options.binary, self.sink_port)
            stack.callback(facteur.stop)
            found = [facteur]
            if self.with_postfix:
                # With its default of 100 it leaves the 500 sessions' connections unanswered for minutes.
                found.append(Postfix(folder, self.sink_port, processes=max(100, case.sessions + 20)))
                stack.callback(found[1].stop)
            yield found
            if case is not CALLS:  # strace stops it at every call: that is no turn of its own
                self.stalled(case, facteur)
        if case.octets >= MIB:
            shutil.rmtree(folder)

    def stalled(self, case, facteur):
        stalls = facteur.status()["stalls"]
        self.stalls.append((stalls["longest_us"] / 1000, stalls["over_50_ms"], case.title, stalls["longest_what"]))

    def quiesce(self, server):
        """Nothing waits in it, and nothing is left for the disk to write."""
        self.settle(server)
        server.stored, server.sunk = measure.files_in(server.folders()), server.relayed()
        os.sync()

    def settle(self, server):
        """Until nothing is under way in it. That it takes long is told, and does not end the run."""
        with contextlib.suppress(TimeoutError):
            wait_until("an empty queue of " + server.name, server.is_settled, 20)
            return
        self.notes.append("%s still had work 20 s after its last message was delivered." % server.name)

    # --- rows

    def row(self, title, facteur, postfix, unit, ratio=None, target="", reached=None):
        self.rows.append((title, facteur, postfix, unit, ratio, target, reached))
        print("  " + "  ".join(text(self.rows[-1])), flush=True)

    def versus(self, title, key, results, unit, factor, higher=True):
        """A row with a ratio; `factor` is the multiple asked for, or None."""
        a, b = (results.get(s, {}).get(key) for s in ("facteur", "postfix"))
        if a is None:
            return
        ratio = (a / b if higher else b / a) if a and b else None
        target = "" if factor is None else "≥ %g ×" % factor if higher else "≤ 1/%g" % factor
        self.row(title, a, b, unit, ratio, target, None if factor is None or ratio is None else ratio >= factor)

    # --- throughput

    def trial(self, server, case, source, count):
        """One load: messages a second accepted and delivered, CPU for each of them."""
        self.quiesce(server)
        cpu = measure.cpu_seconds(server.pid)
        began = time.perf_counter()
        done = self.load.run(source, server.port, case, count, case.to)
        accepted = time.perf_counter()
        self.wait_delivered(server, case, count)
        delivered = time.perf_counter()
        self.settle(server)
        result = {"accepted": count / done["seconds"], "delivered": count / (delivered - began), "count": count,
                  "seconds": done["seconds"], "cpu_ms": (measure.cpu_seconds(server.pid) - cpu) * 1000 / count,
                  "load_cpu": done["cpu"] / (accepted - began), "settled": time.perf_counter() - began}
        self.raw.append(dict(result, case=case.key, server=server.name, source=source))
        return result

    def wait_delivered(self, server, case, count):
        """Files are counted, the same way for both servers; for mail that leaves, what the server says."""
        folders = server.folders()
        wanted = server.stored + count * case.recipients
        end = time.monotonic() + 90
        while True:
            looked = time.monotonic()
            if server.has_relayed(server.sunk + count) if case is RELAY else measure.files_in(folders) >= wanted:
                return
            now = time.monotonic()
            if now > end:
                raise TimeoutError("%s did not deliver %d messages" % (server.name, count))
            # Looking must not cost the server much of the two cores.
            time.sleep(max(0.01, 5 * (now - looked)))

    def count_for(self, server, case, source):
        """Messages that take about `seconds`; finding out warms the server up as well."""
        count = max(2 * case.sessions if case.octets < MIB else case.sessions, 20 if case.octets < MIB else 4)
        while True:
            found = self.trial(server, case, source, count)
            self.raw.pop()
            took = max(count / found["delivered"], 0.001)
            if took >= self.options.seconds / 8 or count * case.octets >= 512 * MIB:
                break
            count = int(count * min(10, max(2, self.options.seconds / 4 / took)))
        count = int(count / took * self.options.seconds)
        most = min(60000, self.options.octets_max // (case.octets * case.recipients))
        return max(min(count, most), 2), found

    def source_for(self, facteur, case):
        """smtp-source, unless it would be the limit: it has one core at most, and what it uses the server cannot."""
        if self.options.generator != "auto":
            return self.options.generator
        if not self.load.smtp_source:
            return "load"
        count, found = self.count_for(facteur, case, "smtp-source")
        server_share = found["cpu_ms"] * found["accepted"] / 1000
        return "load" if found["load_cpu"] > 0.7 or found["load_cpu"] > server_share / 2 else "smtp-source"

    def throughput(self, case):
        with self.servers(case) as servers:
            source = self.source_for(servers[0], case)
            counts = {s.name: self.count_for(s, case, source)[0] for s in servers}
            trials = {s.name: [] for s in servers}
            for _ in range(self.options.rounds):
                for server in servers:
                    trials[server.name].append(self.trial(server, case, source, counts[server.name]))
        results = {name: {key: statistics.median(t[key] for t in list_of) for key in list_of[0]}
                   for name, list_of in trials.items()}
        print("%s: load by %s, which used %s of a core; %s messages" % (
            case.title, source, ", ".join("%.2f (%s)" % (r["load_cpu"], n) for n, r in results.items()),
            " and ".join(str(c) for c in counts.values())), flush=True)
        self.versus(case.title + ", accepted", "accepted", results, "/s", case.accept)
        self.versus(case.title + (", at the sink" if case is RELAY else ", in the Maildir"), "delivered", results, "/s",
                    case.maildir)
        if case.cpu:
            self.versus(case.title + ", CPU a message", "cpu_ms", results, "ms", None if case is RELAY else 8, False)

    def relay(self):
        if not self.sink:
            self.notes.append("Relaying was not measured: smtp-sink is not installed.")
            return
        self.throughput(RELAY)

    # --- single measures

    def latency(self):
        results = {}
        with self.servers(QUIET) as servers:
            for _ in range(self.options.rounds):
                for server in servers:
                    self.quiesce(server)
                    self.load.run("load", server.port, QUIET, 20)
                    done = self.load.run("load", server.port, QUIET, 600 if self.options.seconds > 2 else 200)
                    results.setdefault(server.name, []).append(done)
        results = {name: {key: statistics.median(d[key] / 1000 for d in found) for key in ("p50_us", "p99_us")}
                   for name, found in results.items()}
        print(QUIET.title, flush=True)
        a = results["facteur"]["p50_us"]
        b = results.get("postfix", {}).get("p50_us")
        self.row(QUIET.title + ", p50", a, b, "ms", b / a if b else None, "≤ 0.4 ms", a <= 0.4)
        self.versus(QUIET.title + ", p99", "p99_us", results, "ms", None, False)

    def memory(self):
        """Fresh servers, and a thousand sessions after EHLO in each. Postfix gets processes enough to greet them."""
        sessions = 1000
        print("memory", flush=True)
        found = {}
        folder = os.path.join(self.dir, "memory")
        os.mkdir(folder, 0o755)
        makers = {"facteur": lambda: Facteur(folder, self.options.binary, self.sink_port)}
        if self.with_postfix:
            makers["postfix"] = lambda: Postfix(folder, self.sink_port, processes=sessions + 100)
        for name, make in makers.items():
            server = make()
            try:
                time.sleep(1)
                idle = measure.memory_octets(server.pid)
                held = self.load.idle_sessions(server.port, sessions)
                try:
                    busy = measure.memory_octets(server.pid)
                finally:
                    held.stdin.close()
                    held.wait()
                found[name] = [x / MIB for x in (*idle, busy[0] - idle[0], busy[1] - idle[1])]
            finally:
                server.stop()
        self.raw.append({"case": "memory", "mib": found})
        f, p = found["facteur"], found.get("postfix", [None] * 4)
        for title, i, limit in (("RSS idle", 0, 8), ("RSS of 1,000 idle sessions", 2, 16)):
            self.row(title, f[i], p[i], "MiB", p[i] / f[i] if p[i] and f[i] else None, "≤ %d MiB" % limit,
                     f[i] <= limit)
        for title, i in (("PSS idle", 1), ("PSS of 1,000 idle sessions", 3)):
            self.row(title, f[i], p[i], "MiB", p[i] / f[i] if p[i] and f[i] else None)
        size = os.path.getsize(self.options.binary) / MIB
        self.row("size of the binary", size, None, "MiB", target="≤ 2 MiB", reached=size <= 2)

    def system_calls(self):
        if not shutil.which("strace"):
            self.notes.append("System calls were not counted: strace is not installed.")
            return
        print("system calls", flush=True)
        found = {}
        with self.servers(CALLS) as servers:
            for server in servers:
                count = 2000 if server is servers[0] else 500
                found[server.name] = {n: c / count for n, c in self.calls_of(server, count).items()}
        self.raw.append({"case": "syscalls", "per_message": found})
        totals = {name: sum(calls.values()) for name, calls in found.items()}
        a, b = totals["facteur"], totals.get("postfix")
        self.row("system calls a message, 50 sessions × 4 KiB", a, b, "", b / a if b else None, "≤ 40", a <= 40)
        self.notes.append("facteur's system calls a message: %s." % ", ".join(
            "%s %.1f" % c for c in list(found["facteur"].items())[:14]))

    def calls_of(self, server, count):
        """{name: calls} for so many messages, once the server is warm."""
        self.quiesce(server)
        self.load.run("load", server.port, CALLS, 500)
        self.wait_delivered(server, CALLS, 500)
        self.quiesce(server)
        summary = os.path.join(self.dir, "strace." + server.name)
        tracer = subprocess.Popen(["strace", "-c", "-f", "-o", summary] +
                                  [word for pid in measure.tree(server.pid) for word in ("-p", str(pid))],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        tracer.stderr.readline()
        time.sleep(0.5)
        try:
            self.load.run("load", server.port, CALLS, count)
            self.wait_delivered(server, CALLS, count)
            self.settle(server)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.communicate()
        with open(summary, encoding="utf-8") as f:
            calls = measure.system_calls_of(f.read())
        return dict(sorted(calls.items(), key=lambda c: -c[1]))

    def stall_row(self):
        if not self.stalls:
            return
        longest, _, case, what = max(self.stalls)
        self.row("longest stall of the loop", longest, None, "ms", target="≤ 50 ms", reached=longest <= 50)
        self.notes.append("The loop's longest stall was in `%s` (%s); %d were above 50 ms." %
                          (what, case, sum(s[1] for s in self.stalls)))

    def disk(self):
        self.row("the disk: durable 4 KiB appends", measure.durable_appends(self.dir), None, "/s")
        self.row("the disk: durable 4 KiB files", measure.durable_files(self.dir), None, "/s")

    # --- all of it

    def run(self):
        wanted = self.options.cases
        self.disk()
        for case in throughput_cases():
            if case.key in wanted:
                self.guard(case.key, self.throughput, case)
        for key, measured in zip(OTHERS, (self.relay, self.latency, self.memory, self.system_calls)):
            if key in wanted:
                self.guard(key, measured)
        self.stall_row()
        self.notes.append("Load average before the run: %.1f." % self.options.load_average)

    def guard(self, key, measured, *args):
        """A case that fails is told and the others go on."""
        try:
            measured(*args)
        except (RuntimeError, TimeoutError, OSError, subprocess.SubprocessError) as e:
            traceback.print_exc()
            self.notes.append("`%s` failed: %s." % (key, str(e).splitlines()[0] if str(e) else type(e).__name__))
            self.options.failed = True


# --- the table

HEAD = ("case", "facteur", "Postfix", "ratio", "target", "reached")


def figure(value, unit):
    if value is None:
        return "–"
    shown = "%.0f" % value if abs(value) >= 100 else "%.1f" % value if abs(value) >= 10 else "%.2f" % value
    shown = "{:,.0f}".format(value) if abs(value) >= 1000 else shown
    return (shown + (unit if unit.startswith("/") else " " + unit)).strip()


def text(row):
    title, a, b, unit, ratio, target, reached = row
    return (title, figure(a, unit), figure(b, unit), "–" if ratio is None else figure(ratio, "×"), target or "–",
            "–" if reached is None else "yes" if reached else "**no**")


def table(rows, head=HEAD):
    lines = [head] + [text(r) for r in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    rule = ["-" * w for w in widths[:1]] + ["-" * (w - 1) + ":" for w in widths[1:4]] + ["-" * w for w in widths[4:]]

    def render(cells):
        return "| " + " | ".join(c.ljust(w) if i in (0, 4, 5) else c.rjust(w)
                                 for i, (c, w) in enumerate(zip(cells, widths))) + " |"
    return "\n".join([render(lines[0]), render(rule)] + [render(line) for line in lines[1:]])


def version(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0].strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def report(bench, options):
    about = measure.machine() + [("file system", measure.file_system(bench.dir)),
                                 ("facteur", version(options.binary, "version"))]
    if bench.with_postfix:
        about.append(("Postfix", version("postconf", "-dh", "mail_version")))
    about.append(("date", datetime.date.today().isoformat()))
    return "\n".join(["%s: %s  " % a for a in about] + ["", table(bench.rows), ""] + ["- " + n for n in bench.notes])


def page_around(path, begin=BEGIN, end=END):
    """The page before and after what is measured."""
    with open(path, encoding="utf-8") as f:
        before, _, rest = f.read().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit("%s has no lines %s and %s" % (path, begin, end))
    return before, after


def write_into(path, content, begin=BEGIN, end=END):
    before, after = page_around(path, begin, end)
    with open(path, "w", encoding="utf-8") as out:
        out.write(before + begin + "\n\n" + content + "\n\n" + end + after)


def parse():
    keys = [c.key for c in throughput_cases()] + OTHERS
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                epilog="cases: " + " ".join(keys))
    p.add_argument("binary", nargs="?", default=os.path.join(rig.ROOT, "build", "release", "facteur"),
                   help="facteur, built with the preset release (default: build/release/facteur)")
    p.add_argument("--quick", action="store_true", help="fewer cases, one short round each: one or two minutes")
    p.add_argument("--cases", metavar="A,B", help="only these; 50x is all that begin so")
    p.add_argument("--seconds", type=float, help="how long a trial should take (default 4; quick 1.5)")
    p.add_argument("--rounds", type=int, help="trials of each server, in turns; the median counts (default 2; quick 1)")
    p.add_argument("--generator", choices=("auto", "smtp-source", "load"), default="auto",
                   help="what sends (default: smtp-source, and load.c where smtp-source would be the limit)")
    p.add_argument("--dir", default="/var/tmp", help="where the servers' directories are made (default /var/tmp)")
    p.add_argument("--json", metavar="FILE", help="writes every figure there")
    p.add_argument("--write", metavar="PAGE", help="writes the table between the two marks of this page")
    o = p.parse_args()
    o.seconds = o.seconds or (1.5 if o.quick else 4)
    o.rounds = o.rounds or (1 if o.quick else 2)
    o.octets_max = int((0.5 if o.quick else 1.5) * 1024 * MIB)
    named = o.cases.split(",") if o.cases else [k for k in keys if not o.quick or k in QUICK or k in OTHERS]
    o.cases = {k for k in keys if any(k == n or n.endswith("x") and k.startswith(n) for n in named)}
    if not o.cases:
        p.error("no such case")
    if not os.access(o.binary, os.X_OK):
        p.error("%s is not there: cmake --preset release && cmake --build --preset release" % o.binary)
    if o.write:
        page_around(o.write)
    o.failed = False
    o.load_average = measure.load_average()
    return o


def main():
    options = parse()
    # Whoever ends it ends the servers too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix="facteur-bench-", dir=options.dir)
    os.chmod(folder, 0o755)
    # ext4 then gives each case's directory inodes of its own instead of those beside their parent's (see servers()).
    if shutil.which("chattr"):
        subprocess.run(["chattr", "+T", folder], stderr=subprocess.DEVNULL, check=False)
    try:
        with contextlib.ExitStack() as stack:
            bench = Bench(options, folder)
            bench.start_sink(stack)
            bench.run()
            content = report(bench, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n" + content)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            json.dump({"rows": [dict(zip(("case", "facteur", "postfix", "unit", "ratio", "target", "reached"), r))
                                for r in bench.rows], "trials": bench.raw, "notes": bench.notes}, out, indent=1)
    if options.write:
        write_into(options.write, content)
    return 1 if options.failed else 0


if __name__ == "__main__":
    sys.exit(main())
