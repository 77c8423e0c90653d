"""FETCH beside Dovecot: the same messages in two Maildirs, the same commands to both servers, and what they answer
compared value by value. Where the answers differ on purpose, DIFFERENCES says why; a difference that no longer is one
fails too.
"""
import glob
import os
import re
import socket
import subprocess

from lib import ANNA, HOST, ORDINARY, PASSWORDS, ROOT, Server, Skip, give, listener

DOVECOT = "/usr/lib/dovecot/imap"
CONFIG_2_3 = """mail_location = maildir:%(folder)s/M
log_path = %(folder)s/dovecot.log
mail_privileged_group =
"""
CONFIG_2_4 = """dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
mail_driver = maildir
mail_path = %(folder)s/M
log_path = %(folder)s/dovecot.log
mail_privileged_group =
import_environment {
  USER = nobody
  HOME = %(folder)s
}
"""
FIRST = 1700000000  # INTERNALDATE of the first message; each is an hour after the one before it

# (items, messages): why ours is another answer than Dovecot's; both are patterns for the whole name.
DIFFERENCES = {
    (r"BODY(STRUCTURE)?", r"type-(?!message).*|multipart-digest"):
        "RFC 2045 5.2: a Content-Type that cannot be read is text/plain",
    (r"BODY(STRUCTURE)?", "message-type-case"): "as it is written; types have no case",
    (r"BODY.*|BINARY.*", "type-message-global"): "RFC 9051 7.5.2: message/global is a message",
    (r"BODY.*|BINARY.*", "message-header-only"): "RFC 2046 5.1.1: the line end before a boundary is the boundary's",
    (r"BODY.PEEK\[[12].MIME\]", r"message-empty|nested-inner-empty|multipart-empty-parts|multipart-part-without-body"):
        "RFC 9051 6.4.5.1: the empty line is the header's also where the body is empty",
    (r"BODY.PEEK\[1.HEADER.FIELDS .*", r"message-(empty|missing)"): "RFC 9051 6.4.5.1: no empty line where there is none",
    (r"(BODY|BINARY).PEEK\[[12].1(.1)?(.MIME)?\]", r"(?!type-message-global).*"):
        "RFC 9051 6.4.5.1: only a message has a part 1 that is itself, a text in a multipart has none",
    (r"BINARY.*", r"encoding-.*|content-without-type-or-version"):
        "RFC 2045 6.1: the field as mail/mime reads it, with folds, and the first of two",
    (r"BINARY.*", r"message-base64|message-no-version-inside|real-newsletter"):
        "RFC 3516 4.2: the section is decoded, not the parts inside it",
}
DIFFERENCES_2_4 = {
    (r"BODYSTRUCTURE", r"disposition-2231.*|real-newsletter"):
        "RFC 9051 7.5.2: parameters as they are written; 2.4 gives what RFC 2231 makes of them",
}


def is_2_4():
    version = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=True).stdout
    return not version.startswith("2.3.")



# --- what IMAP answers, as Python values

class Answer:
    """Atoms are str, strings bytes, NIL None, lists lists."""

    def __init__(self, octets):
        self.octets, self.at = octets, 0

    def value(self):
        c = self.octets[self.at:self.at + 1]
        if c == b"(":
            self.at += 1
            out = []
            while True:
                while self.octets[self.at:self.at + 1] == b" ":
                    self.at += 1
                if self.octets[self.at:self.at + 1] == b")":
                    self.at += 1
                    return out
                out.append(self.value())
        if c == b'"':
            found = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.S).match(self.octets, self.at)
            self.at = found.end()
            return re.sub(rb"\\(.)", rb"\1", found.group(1), flags=re.S)
        found = re.compile(rb"~?\{(\d+)\}\r\n").match(self.octets, self.at)
        if found:
            end = found.end() + int(found.group(1))
            self.at = end
            return self.octets[found.end():end]
        # an item's name may have brackets with spaces and parentheses in them
        found = re.compile(rb"[A-Za-z0-9.]+\[[^]]*\](?:<\d+>)?|[^ ()]+").match(self.octets, self.at)
        self.at = found.end()
        word = found.group(0).decode("ascii")
        return None if word.upper() == "NIL" else word


class Imap:
    """A client over any pair of files."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.count = reader, writer, 0
        self.line()

    def line(self):
        """A line with the literals in it."""
        out = b""
        while True:
            piece = self.reader.readline()
            assert piece.endswith(b"\n"), "the server ended: %r" % (out + piece)[-200:]
            out += piece
            found = re.search(rb"\{(\d+)\}\r\n$", piece)
            if not found:
                return out
            out += self.reader.read(int(found.group(1)))

    def command(self, text):
        """(the tagged answer, the untagged ones)."""
        self.count += 1
        tag = b"t%d " % self.count
        self.writer.write(tag + text.encode("utf-8") + b"\r\n")
        self.writer.flush()
        lines = []
        while True:
            line = self.line()
            if line.startswith(tag):
                return line[len(tag):].rstrip().decode("utf-8", "replace"), lines
            lines.append(line)

    def ok(self, text):
        answer, lines = self.command(text)
        assert answer.startswith("OK"), "%s: %s" % (text, answer)
        return lines

    def fetch(self, what, messages="1:*"):
        """({sequence number: {item: value}}, the tagged answer's first words)."""
        answer, lines = self.command("FETCH %s %s" % (messages, what))
        out = {}
        for line in lines:
            found = re.match(rb"\* (\d+) FETCH ", line)
            if found:
                values = Answer(line[found.end():]).value()
                out.setdefault(int(found.group(1)), {}).update(zip(values[::2], values[1::2]))
        return out, re.match(r"\w+(?: \[[^]]*\])?", answer).group(0)


def dovecot(folder):
    """Dovecot on the Maildir folder/M, logged in."""
    config = os.path.join(folder, "dovecot.conf")
    with open(config, "w", encoding="utf-8") as out:
        out.write((CONFIG_2_4 if is_2_4() else CONFIG_2_3) % {"folder": folder})
    process = subprocess.Popen([DOVECOT, "-c", config], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env=dict(os.environ, HOME=folder, USER="nobody"), **ORDINARY)
    return process, Imap(process.stdout, process.stdin)


def login(server):
    sock = socket.create_connection((HOST, server.ports["imap", "none"]), 30)
    client = Imap(sock.makefile("rb"), sock.makefile("wb"))
    client.ok("LOGIN %s %s" % (ANNA, PASSWORDS[ANNA]))
    return client


# --- the messages

def generated():
    """What a corpus of small files does not have: all line ends, sizes around those of buffers, deep nesting."""
    text = b"From: a@example.org\nSubject: %s\n\n"
    yield "crlf", (text % b"crlf" + b"one\ntwo\n").replace(b"\n", b"\r\n")
    yield "mixed-line-ends", text % b"mixed" + b"one\r\ntwo\nthree\r\n\nfour"
    yield "only-line-ends", b"\n" * 70000
    for size in (65535, 65536, 65537, 262143, 262144, 262145, 300001):
        head = text % b"%d" % size
        yield "size-%d" % size, head + (b"x" * 76 + b"\n") * ((size - len(head)) // 77) + b"y" * ((size - len(head)) % 77)
    # CRLF across the edge of a piece of 64 KiB
    for edge in (65535, 65536, 131071):
        head = (text % b"edge").replace(b"\n", b"\r\n")
        yield "edge-%d" % edge, head + b"z" * (edge - len(head)) + b"\r\nnext\r\n" * 50000
    big = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nshort\n--b\nContent-Type: application/octet-stream\n" \
          b"Content-Transfer-Encoding: base64\n\n" + (b"QUJD" * 19 + b"\n") * 6000 + b"--b\nContent-Type: text/plain\n\n" \
          + b"line\n" * 40000 + b"--b--\n"
    yield "big-parts", big
    inside = b"Subject: innermost\n\ntext\n"
    for n in range(20):
        inside = b"Subject: level %d\nContent-Type: message/rfc822\n\n" % n + inside
    yield "messages-in-messages", inside
    parts = b"text\n"
    for n in range(30):
        parts = b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n%s\n--b%d--\n" % (n, n, parts, n)
    yield "deep", parts


def store(folder, messages):
    """A Maildir with these messages, facteur's to read."""
    for name in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(folder, name), 0o700, exist_ok=True)
        give(os.path.join(folder, name))
    give(folder)
    for n, (_, octets) in enumerate(messages):
        path = os.path.join(folder, "cur", "%d.M%dP1.test:2," % (FIRST + 3600 * n, n))
        with open(path, "wb") as out:
            out.write(octets)
        os.utime(path, (FIRST + 3600 * n,) * 2)
        give(path)


# --- the comparison

SECTIONS = ("", "HEADER", "TEXT", "1", "2", "1.MIME", "2.MIME", "1.1", "1.2", "1.1.MIME", "1.HEADER", "1.TEXT", "2.1", "2.2",
            "2.HEADER", "2.TEXT", "2.1.MIME", "1.1.1", "1.9", "3", "1.1.1.1.1", "HEADER.FIELDS (SUBJECT FROM X-NONE)",
            "HEADER.FIELDS.NOT (SUBJECT FROM)", "1.HEADER.FIELDS (SUBJECT)", "2.HEADER.FIELDS.NOT (SUBJECT)")
PARTIAL = ("[]<0.100>", "[]<65530.12>", "[]<100.70000>", "[]<1000000000.5>", "[TEXT]<0.100>", "[TEXT]<3.1>", "[1]<1.65536>",
           "[HEADER]<5.20>", "[2]<131000.100000>", "[HEADER.FIELDS (FROM)]<2.7>")
ITEMS = ("ENVELOPE", "BODYSTRUCTURE", "BODY", "RFC822.SIZE", "RFC822", "RFC822.HEADER", "RFC822.TEXT", "FLAGS",
         "INTERNALDATE") + tuple("BODY.PEEK[%s]" % s for s in SECTIONS) + tuple("BODY.PEEK" + p for p in PARTIAL)
BINARY = ("BINARY.PEEK[1]", "BINARY.SIZE[1]", "BINARY.PEEK[2]", "BINARY.SIZE[2]", "BINARY.PEEK[1]<2.10>", "BINARY.PEEK[1.1]")


def short(value):
    text = repr(value)
    return text if len(text) < 1500 else text[:700] + " ... " + text[-700:]


def difference(item, theirs, ours, path=""):
    """Where two values differ first, in words."""
    if isinstance(theirs, list) and isinstance(ours, list):
        for n, (a, b) in enumerate(zip(theirs, ours)):
            if a != b:
                return difference(item, a, b, "%s[%d]" % (path, n))
    if isinstance(theirs, bytes) and isinstance(ours, bytes) and len(theirs) + len(ours) > 400:
        at = next((n for n, (a, b) in enumerate(zip(theirs, ours)) if a != b), min(len(theirs), len(ours)))
        return "%s%s: %d octets, ours %d; from octet %d on %r, ours %r" % (
            item, path, len(theirs), len(ours), at, theirs[max(at - 20, 0):at + 40], ours[max(at - 20, 0):at + 40])
    return "%s%s: %s\n%s ours: %s" % (item, path, short(theirs), " " * len(item + path), short(ours))


def compare(names, theirs, ours, items, found):
    for item in items:
        a, status = theirs.fetch("(%s)" % item)
        b, our_status = ours.fetch("(%s)" % item)
        if status != our_status:
            found.append((item, "*", "%s: the answer is %s, ours %s" % (item, status, our_status)))
        for n, name in enumerate(names, 1):
            x, y = a.get(n, {}), b.get(n, {})
            for values in (x, y):
                if item == "FLAGS":  # what is recent in cur/ is each server's own business
                    values["FLAGS"] = sorted(set(values.get("FLAGS", ())) - {"\\Recent"})
                else:
                    values.pop("FLAGS", None)
                values.pop("UID", None)
            if x != y:
                if x.keys() == y.keys():
                    key = next(key for key in x if x[key] != y[key])
                    found.append((item, name, "%s: %s" % (name, difference(key, x[key], y[key]))))
                else:
                    found.append((item, name, "%s: %s, ours %s" % (name, short(x), short(y))))


def run(t, messages):
    if not os.access(DOVECOT, os.X_OK):
        raise Skip("Dovecot is not installed")
    names = [name for name, _ in messages]
    there = os.path.join(t.dir, "dovecot")
    os.mkdir(there, 0o700)
    give(there)
    give(t.dir)
    store(os.path.join(there, "M"), messages)
    server = Server(t, {"listen": [listener("imap", "none")]}, tls=False, start=False)
    for folder in ("mail", "mail/example.org", "mail/example.org/anna"):
        os.mkdir(os.path.join(server.state, folder), 0o700)
        give(os.path.join(server.state, folder))
    store(server.maildir(ANNA), messages)
    server.start()
    process, theirs = dovecot(there)
    ours = login(server)
    found = []
    try:
        for client in (theirs, ours):
            client.ok("SELECT INBOX")
        compare(names, theirs, ours, ITEMS, found)
        for n, name in enumerate(names, 1):  # one at a time: an encoding that cannot be decoded ends the command
            for item in BINARY:
                a, b = (client.fetch("(%s)" % item, n) for client in (theirs, ours))
                for values, _ in (a, b):
                    for key in ("UID", "FLAGS"):
                        values.get(n, {}).pop(key, None)
                if a[1] != b[1] or a[0].get(n, {}) != b[0].get(n, {}):
                    found.append((item, name, "%s: %s %s, ours %s %s" % (name, a[1], short(a[0].get(n)), b[1],
                                                                         short(b[0].get(n)))))
    finally:
        process.stdin.close()
        process.wait(20)
    return found


def judge(found):
    """What DIFFERENCES does not explain, and what it explains in vain."""
    differences = {**DIFFERENCES, **(DIFFERENCES_2_4 if is_2_4() else {})}
    used = set()
    left = []
    for item, name, text in found:
        keys = [key for key in differences if re.fullmatch(key[0], item) and re.fullmatch(key[1], name)]
        used.update(keys)
        if not keys:
            left.append(text)
    return left, [key for key in differences if key not in used]


def corpus():
    out = []
    for path in sorted(glob.glob(os.path.join(ROOT, "test", "data", "mime", "*.eml"))):
        with open(path, "rb") as message:
            out.append((os.path.basename(path)[:-4], message.read()))
    return out + list(generated())


def test_fetch(t):
    left, unused = judge(run(t, corpus()))
    assert not left, "%d differences:\n%s" % (len(left), "\n".join(left[:400]))
    assert not unused, "no longer different: %s" % unused


test_fetch.seconds = 300
