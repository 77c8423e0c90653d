"""What a client may pour on IMAP: commands, names, nothing at all; the rest of the office is served meanwhile."""
import poplib
import time

from imap import Imap, client, literal, server, talk
from lib import ANNA, BERT, PASSWORDS, sanitized, wait_until
from test_imap_session import closed
from test_pop3 import pop


def test_never_reads(t):
    """A49: answers that nobody reads are not gathered without end, whatever the commands; read at last, all is there."""
    s = server(t)
    with client(s) as c:
        for n in range(100):
            c.do("CREATE box/%d" % n)
        c.do(b"APPEND INBOX" + b"".join(b" " + literal(b"Subject: x\r\n\r\n") for n in range(100)))
    for command in (b'LIST "" "*"', b"FETCH 1:* FLAGS", b"CAPABILITY", b"UID FETCH 1:* (FLAGS ENVELOPE)", b"SEARCH RETURN () NOT ALL",
                    b"NOOP", b"ID NIL"):
        c = client(s, select="INBOX")
        before = s.memory()
        c.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < 300:
                c.raw((b"x " + command + b"\r\n") * 1000)
                sent += 1
        except TimeoutError:
            pass
        with client(s, BERT) as other:
            other.do("SELECT INBOX")  # others are served
        if not sanitized(t.binary):
            assert s.memory() - before < 4 << 20, "%s: %d KiB" % (command, (s.memory() - before) >> 10)
        c.sock.settimeout(30)
        for _ in range(50):
            assert c.wait(b"x").status == "OK"
        c.close()


def test_before_login(t):
    """A40: tags, parentheses, quotes and arguments without end."""
    s = server(t)
    for octets in (b"t" * 9000, b"a LOGIN " + b"(" * 9000, b'a LOGIN "' + b"\\\\" * 5000,
                   b"a ID (" + b'"a" "b" ' * 2000, b"a LOGIN " + b"x " * 5000):
        with Imap(s.ports["imap", "none"]) as c:
            c.raw(octets + b"\r\nb NOOP\r\n")
            said = c.line()
            assert b"BAD" in said, (octets[:20], said)
            assert c.line().startswith(b"b OK"), octets[:20]
    with Imap(s.ports["imap", "none"]) as c:  # a line without an end
        try:
            for _ in range(100):
                c.raw(b"x" * 65536)
        except ConnectionError:
            pass
        assert b"BYE" in closed(c) or not c.buffer
    with client(s) as c:
        talk(c, ("SELECT INBOX", "OK"))


def test_many_connections(t):
    """A55: from one address only so many, and when they have gone there is room again."""
    s = server(t, {"limits": {"connections_per_address": 5, "rate_exempt": []}})
    held = []
    for _ in range(12):
        c = Imap(s.ports["imap", "none"])
        held.append(c)
    byes = sum(c.greeting.startswith(b"* BYE") for c in held)
    assert byes == 7, [c.greeting for c in held]
    for c in held:
        c.close()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with Imap(s.ports["imap", "none"]) as c:
            if c.greeting.startswith(b"* OK"):
                c.do('LOGIN %s "%s"' % (ANNA, PASSWORDS[ANNA]))
                return
    raise AssertionError("there is no room again")


def test_many_sessions_of_a_user(t):
    """From all addresses and over IMAP and POP3 together only so many; others, and submission, do not wait for them."""
    s = server(t, {"limits": {"connections_per_user": 3, "auth_failures": 5}})
    held = [client(s), client(s)]
    pop3 = pop(s)
    with Imap(s.ports["imap", "none"]) as c:
        c.do('LOGIN %s "wrong"' % ANNA, "NO")
        refused = c.do('LOGIN %s "%s"' % (ANNA, PASSWORDS[ANNA]), "NO").final
        assert b"[LIMIT] You have 3 sessions open" in refused, refused
        try:
            pop(s)
            raise AssertionError("a fourth session")
        except poplib.error_proto as e:
            assert "-ERR [IN-USE] You have 3 sessions open" in str(e), e
        s.wait_log("event=login-refused .*user=%s .*rule=limits.connections_per_user limit=3" % ANNA)
        client(s, BERT).close()
        held.pop().close()
        wait_until("room for one more", lambda: c.do('LOGIN %s "%s"' % (ANNA, PASSWORDS[ANNA]), None).status == "OK")
        pop3.quit()


def test_broken_off(t):
    """Connections that end in the middle of everything leave nothing behind."""
    s = server(t)
    for part in (b"", b"a", b"a LOGIN {5}\r\nab", b"a AUTHENTICATE PLAIN\r\n", b"a AUTHENTICATE SCRAM-SHA-256\r\n"):
        c = Imap(s.ports["imap", "none"])
        c.raw(part)
        c.close()
    for part in (b"a APPEND INBOX {1000}\r\n", b"a APPEND INBOX {1000+}\r\nhalf", b"a IDLE\r\n",
                 b"a FETCH 1:* BODY[]\r\n" * 100, b"a SEARCH TEXT x\r\n" * 100,
                 b"a LIST \"\" * RETURN (STATUS (MESSAGES SIZE))\r\n" * 50, b"a MOVE 1 Trash\r\n",
                 b"a SORT (DATE) UTF-8 ALL\r\n" * 50, b"a SELECT Sent\r\n" * 50):
        c = client(s, select="INBOX")
        c.append("INBOX", b"Subject: x\r\n\r\n" + b"y" * 300000)
        c.raw(part)
        c.close()
    with client(s, select="INBOX") as c:
        c.do("FETCH 1:* (UID FLAGS)")
        assert 8 <= len(c.uids()) <= 9
    s.stop()
    assert "stopped-in-haste" not in s.log(), "something of them still goes on"
