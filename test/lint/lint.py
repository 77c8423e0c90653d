#!/usr/bin/env python3
"""The lints that are no compiler's: each prints "file:line: message" for what it finds and then exits 1.

    lint.py cards|banned|headers|events|format|cppcheck|tidy --source DIR [--build DIR] [--cc CC] [--layer NAME]

Exit status 77 means: the tool for it is missing or of another version (ctest then says "Skipped").
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
CARD = ("Purpose", "Owner", "Thread", "Limits", "Standards")
# Of Debian 12. Others lay out and judge a little differently; which of them is right is not for a test to say.
CLANG_VERSION, CPPCHECK_VERSION = "14", "2.10"

# What is banned, why, and where it may stand all the same. Comments and strings are not looked at.
BANNED = (
    (r"\b(strcpy|strcat|strncpy|strncat|stpcpy|sprintf|vsprintf|gets|strtok|strtok_r)\s*\(", "knows no bound", ()),
    (r"\b(atoi|atol|atoll|atof)\s*\(", "cannot say that it failed", ()),
    (r"\b(scanf|sscanf|fscanf)\s*\(", "reads numbers without a bound", ()),
    (r"\b(alloca|strdupa|strndupa)\s*\(", "takes the stack by the octet", ()),
    (r"\b(setjmp|longjmp|system|popen|tmpnam|mktemp|tempnam)\s*\(", "has no place here", ()),
    (r"\b(rand|srand|random|srandom|drand48)\s*\(", "base/rand is the source of random numbers", ()),
    (r"\b(malloc|calloc|realloc|reallocarray|strdup|strndup|asprintf|vasprintf)\s*\(",
     "base/mem is the only allocator", ("src/base/mem.c",)),
    (r"\b(localtime|gmtime|ctime|asctime|strerror_l|inet_ntoa|gethostbyname|getpwnam|readdir_r)\s*\(",
     "keeps its result in a place of its own, or is obsolete", ("src/app/",)),
    (r"\b(usleep|sleep|nanosleep)\s*\(", "the loop never waits", ()),
    (r"\bsqlite3_(mprintf|vmprintf|snprintf)\s*\(", "SQL has bound parameters only", ()),
    (r"\b(TODO|FIXME|XXX)\b", "is an issue, not a comment", ()),
)


def files(source, trees, endings):
    for tree in trees:
        for folder, _, names in sorted(os.walk(os.path.join(source, tree))):
            for name in sorted(names):
                if name.endswith(endings):
                    yield os.path.join(folder, name)


def without_comments_and_strings(text):
    """Blanks them out and keeps the lines, so that places stay right."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def say(source, path, line, message):
    print("%s:%d: %s" % (os.path.relpath(path, source), line, message))


def lint_cards(args):
    """Every public header opens with its card: the name and then five words, in this order."""
    bad = 0
    for path in files(args.source, ["include"], (".h",)):
        text = open(path, encoding="utf-8").read()
        name = os.path.relpath(path, os.path.join(args.source, "include", "facteur"))[:-2]
        end = text.find("*/")
        card = text[:end] if text.startswith("/*") and end > 0 else ""
        if not card.startswith("/* facteur: %s:" % name):
            say(args.source, path, 1, 'does not open with "/* facteur: %s: what it is"' % name)
            bad += 1
        at = -1
        for word in CARD:
            found = card.find(word + ":", at + 1)
            if found < 0:
                say(args.source, path, 1, 'the card lacks "%s:" (in the order %s)' % (word, ", ".join(CARD)))
                bad += 1
            else:
                at = found
        guard = "FACTEUR_" + name.replace("/", "_").upper() + "_H"
        if not re.search(r"#ifndef %s\n#define %s\n" % (guard, guard), text):
            say(args.source, path, 1, "has no include guard " + guard)
            bad += 1
    return bad


def lint_banned(args):
    """Functions that lead to mistakes, allocation outside base/mem, SQL that is put together from text."""
    bad = 0
    for path in files(args.source, ["src", "include"], (".c", ".h")):
        relative = os.path.relpath(path, args.source)
        text = open(path, encoding="utf-8").read()
        bare = without_comments_and_strings(text)
        for pattern, why, allowed in BANNED:
            if relative.startswith(allowed) if allowed else False:
                continue
            where = text if "TODO" in pattern else bare
            for m in re.finditer(pattern, where):
                say(args.source, path, where.count("\n", 0, m.start()) + 1,
                    "%s: %s" % (m.group(0).rstrip("( \t"), why))
                bad += 1
        for m in re.finditer(r'"\s*(SELECT|INSERT|UPDATE|DELETE|REPLACE)\b[^"]*%[-+ 0-9l]*[a-z][^"]*"', text):
            say(args.source, path, text.count("\n", 0, m.start()) + 1, "SQL is built by formatting")
            bad += 1
    return bad


def lint_headers(args):
    """Every header says itself what it needs."""
    bad = 0
    for path in files(args.source, ["include", "src"], (".h",)):
        run = subprocess.run(
            [args.cc, "-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-x", "c",
             "-I", os.path.join(args.source, "include"), "-I", os.path.dirname(path), "-include", path, "-"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if run.returncode != 0:
            say(args.source, path, 1, "does not compile alone:\n" + run.stderr)
            bad += 1
    return bad


def tool(name, version):
    """The path of a tool; the test is skipped where it is missing, or where another version would judge otherwise."""
    path = shutil.which("%s-%s" % (name, version)) or shutil.which(name)
    if path is None:
        print(name + " is not installed")
        sys.exit(SKIPPED)
    said = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    if not re.search(r"\b%s\." % re.escape(version) if name != "cppcheck" else r" %s\b" % re.escape(version), said):
        print("needs %s %s, here is: %s" % (name, version, " ".join(said.split())[:60]))
        sys.exit(SKIPPED)
    return path


def lint_format(args):
    paths = [path for path in files(args.source, ["src", "include", "test"], (".c", ".h")) if "/lint/bad/" not in path]
    return subprocess.run([tool("clang-format", CLANG_VERSION), "--dry-run", "-Werror", "--style=file"] + paths).returncode


def lint_cppcheck(args):
    command = [tool("cppcheck", CPPCHECK_VERSION), "--quiet", "--std=c11", "--enable=warning,performance,portability",
               "--inline-suppr", "--error-exitcode=1", "--suppress=missingIncludeSystem", "--suppress=unmatchedSuppression",
               "--suppressions-list=" + os.path.join(args.source, "test/lint/cppcheck.txt"),
               "-D_GNU_SOURCE", '-DFACTEUR_VERSION="0"', "-I", os.path.join(args.source, "include"),
               "-j", str(os.cpu_count() or 1), "--template={file}:{line}: {severity}: {message} [{id}]",
               os.path.join(args.source, "src")]
    return subprocess.run(command).returncode


def tidy_exceptions(args):
    """test/lint/tidy.txt: "file check reason", for what is a false alarm in one place and a good check elsewhere."""
    with open(os.path.join(args.source, "test/lint/tidy.txt"), encoding="utf-8") as lines:
        return {tuple(line.split()[:2]) for line in lines if line.strip() and not line.startswith("#")}


def lint_tidy(args):
    path = tool("clang-tidy", CLANG_VERSION)
    sources = list(files(args.source, [os.path.join("src", args.layer)], (".c",)))
    if not sources:
        return 0
    # What only gcc knows would be errors of their own.
    command = [path, "--quiet", "-p", args.build, "--extra-arg=-Wno-unknown-warning-option",
               "--extra-arg=-Wno-ignored-optimization-argument"] + sources
    run = subprocess.run(command, capture_output=True, text=True)
    excepted = tidy_exceptions(args)
    bad = 0
    for found in re.split(r"(?m)^(?=/\S+?:\d+:\d+: (?:warning|error):)", run.stdout):
        m = re.match(r"(/\S+?):\d+:\d+: (?:warning|error): .*\[([^]\s]+)\]", found)
        if m and (os.path.relpath(m.group(1), args.source), m.group(2)) not in excepted:
            print(found)
            bad += 1
    if run.returncode != 0 and not bad:
        print(run.stdout + run.stderr)
        bad = 1
    return bad


def logged_events(path):
    """(line, name) of every event that a file logs. Where the name is no literal it comes from a table `events` or from
    the first argument of a function log_...() of the file."""
    text = open(path, encoding="utf-8").read()
    computed = False
    for m in re.finditer(r'\bLOG\(\s*\w+\s*,\s*(?:"([^"]*)")?', text):
        if m.group(1) is not None:
            yield text.count("\n", 0, m.start()) + 1, m.group(1)
        else:
            computed = True
    if computed:
        for m in re.finditer(r'\bevents\[\w*\] = \{(.*?)\}|\blog_\w+\("([^"]+)"', text, re.S):
            for name in re.findall(r'"([^"]+)"', m.group(1)) if m.group(1) else [m.group(2)]:
                yield text.count("\n", 0, m.start()) + 1, name


def lint_events(args):
    """docs/operations.md explains every event of the log, in the first column of a table, and no other."""
    page = os.path.join(args.source, "docs", "operations.md")
    text = open(page, encoding="utf-8").read()
    begin = text.find("## Log\n")
    told, bad = {}, 0
    for row in re.finditer(r"^\| (`[^|]*) \|", text[begin:text.find("\n## ", begin)], re.M):
        for name in re.findall(r"`([^`]+)`", row.group(1)):
            told[name] = text.count("\n", 0, begin + row.start()) + 1
    logged = {}
    for path in files(args.source, ["src"], (".c",)):
        for line, name in logged_events(path):
            logged[name] = True
            if name not in told:
                say(args.source, path, line, 'docs/operations.md does not explain the event "%s"' % name)
                bad += 1
    for name in told.keys() - logged.keys():
        say(args.source, page, told[name], 'nothing logs "%s"' % name)
        bad += 1
    return bad


def self_test():
    """Each rule finds what it is for: without this, a lint that finds nothing ever would look like clean code."""
    with tempfile.TemporaryDirectory() as top:
        os.makedirs(os.path.join(top, "include/facteur/base"))
        os.makedirs(os.path.join(top, "src/base"))
        os.makedirs(os.path.join(top, "docs"))
        for path, text, lint, count in (
            ("include/facteur/base/a.h", "/* nothing */\n", lint_cards, 7),
            ("include/facteur/base/a.h",
             "/* facteur: base/a: x\n * Purpose: x\n * Owner: x\n * Thread: x\n * Limits: x\n * Standards: x */\n"
             "#ifndef FACTEUR_BASE_A_H\n#define FACTEUR_BASE_A_H\n#endif\n", lint_cards, 0),
            ("src/base/a.c", 'f("strcpy(a, b)"); /* atoi(x) */ my_malloc(3);\n', lint_banned, 0),
            ("src/base/a.c", "strcpy (a, b);\natoi(x); malloc(3);\n", lint_banned, 3),
            ("src/base/a.c", 'f("SELECT x FROM y WHERE z = %s", z);\n', lint_banned, 1),
            ("include/facteur/base/a.h", "size_t f(void);\n", lint_headers, 1),
            ("docs/operations.md", "## Log\n\n| `old`, `new` | x |\n\n## End\n| `else` | x |\n", lint_events, 2),
            ("src/base/a.c", 'LOG(INFO, "new", 1);\nLOG(INFO,\n "older");\n', lint_events, 2),
            ("src/base/a.c", 'LOG(INFO, event);\nlog_it("new", x);\nconst char *events[] = { [A] = "old" };\n',
             lint_events, 0),
        ):
            with open(os.path.join(top, path), "w", encoding="utf-8") as out:
                out.write(text)
            found = lint(argparse.Namespace(source=top, cc=shutil.which("cc") or "gcc"))
            if found != count:
                sys.exit("%s: %d findings instead of %d in %r" % (lint.__name__, found, count, text))
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lint", choices=["cards", "banned", "headers", "events", "format", "cppcheck", "tidy", "self-test"])
    parser.add_argument("--source", default=".")
    parser.add_argument("--build", default="build/debug")
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--layer", default="")
    args = parser.parse_args()
    if args.lint == "self-test":
        sys.exit(self_test())
    sys.exit(1 if globals()["lint_" + args.lint](args) else 0)


if __name__ == "__main__":
    main()
