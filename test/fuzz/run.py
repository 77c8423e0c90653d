#!/usr/bin/env python3
"""Runs every libFuzzer target of a build directory for so many seconds, from its kept corpus.

What is found new goes to build/fuzz/corpus/<parser>; a crash is shown whole, with its input.
"""
import argparse
import base64
import concurrent.futures
import glob
import os
import re
import subprocess
import sys


def run(args, target):
    name = os.path.basename(target)
    parser = name[len("fuzz_"):]
    kept = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", parser)
    grown = os.path.join(args.build, "corpus", parser)
    crashes = os.path.join(args.build, "crashes", parser) + os.sep
    os.makedirs(grown, exist_ok=True)
    os.makedirs(crashes, exist_ok=True)
    command = [target, "-max_total_time=%d" % args.seconds, "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
               "-max_len=%d" % args.max_len, "-artifact_prefix=" + crashes, grown] + [kept] * os.path.isdir(kept)
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    found = re.search(r"Test unit written to (\S+)", done.stderr)
    return parser, done, found.group(1) if found else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/fuzz")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--max-len", type=int, default=65536)
    parser.add_argument("--results", help="a file that gets a line 'passed NAME' or 'failed NAME' each")
    args = parser.parse_args()

    targets = sorted(t for t in glob.glob(os.path.join(args.build, "test", "fuzz_*")) if os.access(t, os.X_OK))
    bad = 0
    lines = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for name, done, artifact in pool.map(lambda t: run(args, t), targets):
            count = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
            ok = done.returncode == 0
            lines.append("%s fuzz/%s" % ("passed" if ok else "failed", name))
            print("%s (%s inputs)" % (lines[-1], count.group(1) if count else "?"), flush=True)
            if not ok:
                bad += 1
                print(done.stderr[-8000:])
                if artifact and os.path.getsize(artifact) <= 4096:
                    print("input, base64: " + base64.b64encode(open(artifact, "rb").read()).decode())
    if not targets:
        lines.append("failed fuzz/no-targets")
        bad = 1
        print(lines[-1])
    if args.results:
        with open(args.results, "a", encoding="utf-8") as out:
            out.write("".join(line + "\n" for line in lines))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
