#!/usr/bin/env python3
"""Runs the tests over sockets: every test_*(t) of test/{e2e,dialog,clients,peers}/test_*.py, each in a process and a
directory of its own, several at a time.

    test/e2e/run.py [--binary build/debug/facteur] [--jobs N] [--results FILE] [--keep] [PATTERN...]

PATTERN: only tests whose name (folder/file/function) contains it.
"""
import argparse
import faulthandler
import glob
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import lib  # noqa: E402

FOLDERS = ("e2e", "dialog", "clients", "peers")
SECONDS = 90  # of a test; a function's own: its attribute `seconds`
SKIPPED, FAILED = 77, 1


def load(path):
    folder = os.path.basename(os.path.dirname(path))
    name = os.path.basename(path)[:-3]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for key, value in vars(module).items():
        if key.startswith("test_") and callable(value):
            yield "%s/%s/%s" % (folder, name[len("test_"):], key[len("test_"):]), value


def run_one(name, function, directory, binary, log):
    """In the child: never returns."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)
    signal.alarm(getattr(function, "seconds", SECONDS))
    status = 0
    t = lib.Test(name, directory, binary)
    try:
        function(t)
    except lib.Skip as e:
        print("skipped: %s" % e)
        status = SKIPPED
    except BaseException:
        traceback.print_exc()
        status = FAILED
    try:
        t.end()
    except BaseException:
        traceback.print_exc()
        status = FAILED
    if status == FAILED:
        for server in t.servers:
            try:
                print("--- log of %s:\n%s" % (server.name, server.log()[-6000:]))
            except OSError:
                pass
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


class Runner:
    def __init__(self, args):
        self.args = args
        self.top = tempfile.mkdtemp(prefix="facteur-e2e.")
        os.chmod(self.top, 0o711)
        args.binary = lib.reachable(args.binary, self.top)
        self.running = {}
        self.lines = []

    def start(self, name, function):
        # Short, for the path of a Unix socket below it has 107 octets at most.
        directory = os.path.join(self.top, "%03d" % (len(self.lines) + len(self.running)))
        os.mkdir(directory)
        log = os.open(os.path.join(directory, "output"), os.O_CREAT | os.O_RDWR, 0o600)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            run_one(name, function, directory, self.args.binary, log)
        os.close(log)
        self.running[pid] = (name, directory, time.monotonic())

    def reap(self):
        pid, status = os.wait()
        name, directory, started = self.running.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        with open(os.path.join(directory, "output"), encoding="utf-8", errors="replace") as output:
            text = output.read()
        try:
            os.killpg(pid, signal.SIGKILL)  # what a test that was cut off left behind
        except ProcessLookupError:
            pass
        seconds = time.monotonic() - started
        if code == 0:
            line = "passed " + name
        elif code == SKIPPED:
            line = "skipped %s: %s" % (name, text.strip().rpartition("skipped: ")[2])
        else:
            line = "failed " + name
        print("%s (%.1f s)%s" % (line, seconds, ", in " + directory if self.args.keep else ""), flush=True)
        if code not in (0, SKIPPED):
            if code == -signal.SIGALRM:
                print("--- it took too long")
            print(text, flush=True)
        self.lines.append(line)
        if not self.args.keep:
            shutil.rmtree(directory, ignore_errors=True)

    def run(self, tests):
        for name, function in tests:
            while len(self.running) >= self.args.jobs:
                self.reap()
            self.start(name, function)
        while self.running:
            self.reap()
        if self.args.keep:
            print("kept: " + self.top)
        else:
            shutil.rmtree(self.top, ignore_errors=True)
        return self.lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.path.join(lib.ROOT, "build/debug/facteur"))
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--results", help="a file that gets a line 'passed NAME', 'failed NAME' or 'skipped NAME: why' each")
    parser.add_argument("--label", default="", help="put in front of the tests' names, to tell several runs apart")
    parser.add_argument("--keep", action="store_true", help="leave the tests' directories")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("pattern", nargs="*")
    args = parser.parse_args()
    args.binary = os.path.abspath(args.binary)
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
    os.environ.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    os.environ["PATH"] += ":/usr/sbin:/sbin"

    tests = []
    for folder in FOLDERS:
        for path in sorted(glob.glob(os.path.join(lib.ROOT, "test", folder, "test_*.py"))):
            tests += [(args.label + name, function) for name, function in load(path)
                      if not args.pattern or any(p in name for p in args.pattern)]
    if args.list:
        print("\n".join(name for name, _ in tests))
        return 0
    lines = Runner(args).run(tests)
    if args.results:
        with open(args.results, "a", encoding="utf-8") as out:
            out.write("".join(line + "\n" for line in lines))
    failed = sum(line.startswith("failed") for line in lines)
    print("sockets: %d of %d tests failed" % (failed, len(lines)))
    return 1 if failed or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
