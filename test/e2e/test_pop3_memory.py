"""limits.memory and what waits for POP3 clients that do not read: bounded for all of them together, and the others are
served when it is their turn."""
import poplib
import socket

from imap import server
from lib import ANNA, BERT, DOMAIN, HASHES, HOST, PASSWORDS, message, sanitized, wait_until

LIMIT = 8 << 20
STALLED = ["user%d@%s" % (n, DOMAIN) for n in range(60)]  # with a slice each they would hold 16 MiB
HELD = 96 << 10  # what a session may hold besides


def logged_in(s, user):
    c = socket.create_connection((HOST, s.ports["pop3", "none"]), 30)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.sendall(b"USER %s\r\nPASS %s\r\n" % (user.encode(), PASSWORDS[ANNA].encode()))
    said = b""
    while said.count(b"+OK") < 3:  # the greeting, USER, PASS
        said += c.recv(4096)
    return c


def output(s):
    return s.json("status")["memory"]["output"]


def read(s):
    c = poplib.POP3(HOST, s.ports["pop3", "none"], timeout=60)
    c.user(BERT)
    c.pass_(PASSWORDS[BERT])
    lines = c.retr(1)[1]
    assert len(c.top(1, 5)[1]) < 20
    c.quit()
    return lines


def test_bodies(t):
    s = server(t, {"users": {user: {"password": HASHES[ANNA]} for user in STALLED},
                   "limits": {"memory": LIMIT, "connections": 1000, "connection_rate": 0, "connections_per_address": 500,
                              "timeouts": {"data": "1s"}}})
    s.send(message("large", ("." + "x" * 70 + "\r\n") * 50000), to=(BERT, *STALLED))
    for user in (BERT, *STALLED):
        s.wait_mail(user)
    wanted = read(s)
    assert sum(len(line) + 2 for line in wanted) > 3 << 20
    held = [logged_in(s, user) for user in STALLED]
    before = s.memory("VmRSS")
    for c in held:
        c.sendall(b"RETR 1\r\n" * 4)
    wait_until("output that clients do not take", lambda: output(s) > LIMIT // 4)
    assert read(s) == wanted  # in its turn, in slices of another size
    # half of the limit is what may begin, and a slice more of each is in work
    assert output(s) < LIMIT, output(s)
    grown = s.memory() - before
    assert sanitized(t.binary) or grown < LIMIT + len(STALLED) * HELD, "%d KiB" % (grown >> 10)
    s.wait_log("event=timeout")
    for c in held:
        c.close()
    wait_until("no output", lambda: output(s) < 64 << 10)
    assert read(s) == wanted
