"""limits.memory and what waits for IMAP clients that do not read: bounded for all of them together, and the others are
served meanwhile."""
import resource
import socket
import time

from imap import client, server
from lib import BERT, sanitized, wait_until

LIMIT = 8 << 20
STALLED = 200  # sessions; with a slice each and what was read ahead they would hold 200 MiB
HELD = 96 << 10  # what a session may hold besides: its dialogue, the command, the list of messages


def stalled(s, command, select="INBOX"):
    c = client(s, select=select)
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.raw((b"x " + command + b"\r\n") * 8)
    return c


def output(s):
    return s.json("status")["memory"]["output"]


def served(s, seconds=3):
    """The user whose sessions these are not reads a message of 2 MB."""
    start = time.monotonic()
    with client(s, BERT, select="INBOX") as c:
        assert len(c.do("FETCH 1 BODY.PEEK[]").untagged[0]) > 2 << 20
        c.do("FETCH 1 (FLAGS ENVELOPE)")
        c.do("SEARCH ALL")
    took = time.monotonic() - start
    assert took < seconds * (5 if sanitized(s.binary) else 1), took


def flood(t, text, command):
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    s = server(t, {"limits": {"memory": LIMIT, "connections_per_user": 1000, "connections": 2000, "connection_rate": 0,
                              "timeouts": {"data": "3s"}}})
    with client(s, BERT) as c:
        c.append("INBOX", b"Subject: large\r\n\r\n" + (b"y" * 70 + b"\r\n") * (2 << 14))
    with client(s) as c:
        for _ in range(4):
            c.append("INBOX", text)
        c.do("SELECT INBOX")
        c.do("FETCH 1:* ENVELOPE")
    served(s)
    before = s.memory("VmRSS")
    held = [stalled(s, command) for _ in range(STALLED)]
    served(s)
    # half of the limit is for output, and one user has at most a half of that; a slice more is in work
    wait_until("output that clients do not take", lambda: output(s) > 256 << 10)
    assert output(s) < LIMIT // 2, output(s)
    grown = s.memory() - before
    assert sanitized(t.binary) or grown < LIMIT + STALLED * HELD, "%d KiB" % (grown >> 10)
    # their turns end: the log says so, the others go on, at last nothing is held
    s.wait_log("event=timeout")
    served(s)
    for c in held:
        c.close()
    wait_until("no output", lambda: output(s) < 128 << 10)
    with client(s, select="INBOX") as c:
        assert len(c.do("FETCH 1:* BODY.PEEK[]").untagged) == 4
        return c.do("FETCH 1:* (UID ENVELOPE FLAGS)")


def test_bodies(t):
    flood(t, b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 50000, b"FETCH 1:* BODY.PEEK[]")


def test_rows(t):
    """A row of 900 KB, which is said in pieces."""
    to = b",\r\n ".join(b'"user %d %s" <u%d@example.org>' % (n, b"a" * 45, n) for n in range(10000))
    answer = flood(t, b"Subject: e\r\nTo: " + to + b"\r\n\r\nx\r\n", b"FETCH 1:* (UID ENVELOPE FLAGS)")
    for n, line in enumerate(answer.untagged):
        assert line.startswith(b"* %d FETCH (UID %d ENVELOPE (" % (n + 1, n + 1)), line[:80]
        assert line.count(b'"example.org")') == 10000 and b"FLAGS (" in line[-60:], line[-80:]


def test_rows_in_small_pieces(t):
    """Rows read slowly while there is little memory: all octets come, in order."""
    s = server(t, {"limits": {"memory": 4 << 20, "connections_per_user": 100}})
    to = b",\r\n ".join(b'"user %d %s" <u%d@example.org>' % (n, b"a" * 45, n) for n in range(8000))
    with client(s) as c:
        for n in range(6):
            c.append("INBOX", b"Subject: %d\r\nTo: " % n + to + b"\r\n\r\n" + b"z" * 30000 + b"\r\n")
        c.do("SELECT INBOX")
        wanted = c.do("FETCH 1:* (UID ENVELOPE BODY.PEEK[] BODY.PEEK[HEADER.FIELDS (TO)] BODYSTRUCTURE)").untagged
    asked = []
    for _ in range(6):
        c = client(s, select="INBOX")
        asked.append((c, c.send("FETCH 1:* (UID ENVELOPE BODY.PEEK[] BODY.PEEK[HEADER.FIELDS (TO)] BODYSTRUCTURE)")))
    wait_until("output that clients do not take", lambda: output(s) > 256 << 10)
    for c, tag in asked:
        assert c.wait(tag).untagged == wanted
        c.close()
