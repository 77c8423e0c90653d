"""POP3's dialogue, octet by octet: states, answers, logins, STLS, pipelining, floods (RFC 1939, 2449, 2595, 5034, 6856)."""
import os
import re
import signal

from imap import client, literal, server
from lib import ANNA, BERT, DOMAIN, PASSWORDS, Smtp, b64, listener, message, sanitized, wait_until

SECRET = PASSWORDS[ANNA]
PLAIN = b64("\0%s\0%s" % (ANNA, SECRET))


class Pop(Smtp):
    """Says what it is told to; a reply is its first line, or all of them when it is one of many lines."""

    def read(self, code=None):
        return self.line()

    def talk(self, *exchanges):
        """Each exchange is (command, beginning of the answer's first line)."""
        line = None
        for command, want in exchanges:
            self.raw((command if isinstance(command, bytes) else command.encode()) + b"\r\n")
            line = self.line()
            assert line.startswith(want), "%r: wanted %r, got %r" % (command, want, line)
        return line

    def lines(self, command):
        """The lines of an answer of many."""
        self.talk((command, "+OK"))
        out = []
        while not out or out[-1] != ".":
            out.append(self.line())
        return out[:-1]

    def login(self, user=ANNA):
        self.talk(("USER " + user, "+OK"), ("PASS " + PASSWORDS[user], "+OK"))
        return self

    def last_words(self):
        assert self.is_closed()
        return self.buffer.decode("utf-8", "replace")


def pop(s, tls="none", **more):
    return Pop(s.ports["pop3", tls], tls=tls == "implicit", **more)


def fill(s, count=3, body="x\r\n"):
    with client(s) as c:
        for n in range(count):
            c.append("INBOX", message("number %d" % n, body))


def test_states(t):
    s = server(t, {"limits": {"errors": 1000}})
    fill(s)
    c = pop(s)
    assert c.greeting.startswith("+OK ") and "<" not in c.greeting, c.greeting  # APOP is not offered
    for command in ("STAT", "LIST", "LIST 1", "UIDL", "RETR 1", "TOP 1 0", "DELE 1", "RSET", "NOOP"):
        c.talk((command, "-ERR Log in first"))
    c.talk(("APOP anna 0123456789abcdef", "-ERR"), ("NONSENSE", "-ERR"), ("", "-ERR"), ("PASS x", "-ERR USER first"),
           ("USER", "-ERR"),
           ("AUTH", "-ERR"), ("AUTH CRAM-MD5", "-ERR"), ("UTF8", "+OK"))
    assert {"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "UTF8", "USER",
            "SASL PLAIN LOGIN"} <= set(c.lines("CAPA"))
    c.talk(("uSeR anna", "+OK"), ("pass " + SECRET, "+OK 3 messages"))  # the default domain's
    for command in ("USER anna", "PASS x", "AUTH PLAIN " + PLAIN, "STLS", "UTF8"):
        c.talk((command, "-ERR You have logged in already"))
    assert "TOP" in c.lines("CAPA")
    size = int(c.talk(("LIST 1", "+OK 1 ")).split()[2])
    c.talk(("STAT", "+OK 3 %d" % (3 * size)), ("LIST 1", "+OK 1 %d" % size), ("UIDL 1", "+OK 1 "), ("NOOP", "+OK"),
           ("DELE 2", "+OK"), ("DELE 2", "-ERR"),
           ("RETR 2", "-ERR"), ("TOP 2 1", "-ERR"), ("LIST 2", "-ERR"), ("UIDL 2", "-ERR"),
           ("STAT", "+OK 2 %d" % (2 * size)))
    assert c.lines("LIST") == ["1 %d" % size, "3 %d" % size] and [line.split()[0] for line in c.lines("UIDL")] == ["1",
        "3"]
    c.talk(("RSET", "+OK"), ("STAT", "+OK 3"), ("NOOP x", "+OK"), ("QUIT", "+OK"))
    assert c.last_words() == ""
    c = pop(s)
    c.talk(("QUIT", "+OK"))
    assert c.last_words() == ""


def test_numbers(t):
    s = server(t, {"limits": {"errors": 1000}})
    fill(s)
    c = pop(s).login()
    for number in ("0", "-1", "4", "4294967296", "4294967297", "18446744073709551616", "18446744073709551617",
                   "9" * 200, "one", "1x", "+1", "1 2", "", " ", "0x1"):
        for command in ("RETR ", "DELE ", "LIST " if number.strip() else "RETR ",
                        "UIDL " if number.strip() else "DELE "):
            c.talk((command + number, "-ERR"))
        c.talk(("TOP %s 1" % number, "-ERR"))
    for lines in ("-1", "x", "", "4294967297", "18446744073709551617", "1 1"):
        c.talk(("TOP 1 " + lines, "-ERR"))
    c.talk(("STAT", "+OK 3"))


def test_top(t):
    s = server(t)
    fill(s, 1, "one\r\n.two\r\n\r\nfour\r\n" + "x\r\n" * 5000)
    c = pop(s).login()
    whole = c.lines("RETR 1")
    head = whole.index("") + 1
    assert whole[head:head + 4] == ["one", "..two", "", "four"]
    for count in (0, 1, 2, 4, 4999):
        assert c.lines("TOP 1 %d" % count) == whole[:head + count], count
    for count in (5004, 100000, 4294967295):
        assert c.lines("TOP 1 %d" % count) == whole, count
    c.talk(("STAT", "+OK 1"))


def test_messages_of_all_kinds(t):
    """What is retrieved has as many octets as LIST said, whatever was stored, and its end is seen."""
    s = server(t)
    texts = [b"Subject: no end\r\n\r\nlast", b"Subject: nothing\r\n", b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n.",
             b"Subject: empty\r\n\r\n", b"\r\nno header",
             b"Subject: long\r\n\r\n" + b"y" * 200000 + b"\r\n",
             b"Subject: dot at an edge\r\n\r\n" + b"z" * (65536 - 28) + b"\r\n.edge\r\n"]
    with client(s) as c:
        for text in texts:
            c.append("INBOX", text)
    with open(os.path.join(s.maildir(), "new", "1700000000.M1P1.elsewhere"), "wb") as out:
        out.write(b"Subject: CRLF in the file\r\n\r\nlines\r\n.\r\n")
    os.utime(out.name, (1700000000, 1700000000))  # complete for long
    os.chmod(out.name, 0o666)
    texts.append(b"Subject: CRLF in the file\r\n\r\nlines\r\n.\r\n")
    c = pop(s).login()
    sizes = [int(line.split()[1]) for line in c.lines("LIST")]
    assert sizes == [len(text) for text in texts], sizes
    for n, text in enumerate(texts, 1):
        got = "".join((line[1:] if line.startswith(".") else line) + "\r\n" for line in c.lines("RETR %d" % n)).encode()
        assert got in (text, text + b"\r\n"), (n, got[:100], text[:100])


def test_login(t):
    s = server(t, {"limits": {"errors": 1000, "auth_failures": 3}})

    def answers(*exchanges):
        c = pop(s)
        line = c.talk(*exchanges)
        c.close()
        return line
    answers(("AUTH PLAIN " + PLAIN, "+OK 0 messages"))
    answers(("AUTH PLAIN", "+ "), (PLAIN, "+OK"))
    answers(("AUTH LOGIN", "+ "), (b64(ANNA), "+ "), (b64(SECRET), "+OK"))
    answers(("AUTH PLAIN", "+ "), ("*", "-ERR"), ("AUTH PLAIN " + PLAIN, "+OK"))
    answers(("AUTH PLAIN @@@", "-ERR"), ("AUTH PLAIN =", "-ERR"), ("AUTH PLAIN " + b64("\0a\0b\0c"), "-ERR"),
            ("NOOP", "-ERR Log in"))
    texts = {answers(("USER " + user, "+OK"), ("PASS wrong", "-ERR [AUTH]")) for user in (ANNA, BERT,
        "nobody@" + DOMAIN, "x" * 200)}
    assert len(texts) == 1, texts
    c = pop(s)
    for n in range(3):
        c.talk(("USER " + ANNA, "+OK"), ("PASS wrong", "-ERR [AUTH]"))
    assert "wrong" not in c.last_words()
    c = pop(s)
    c.raw(b"AUTH PLAIN\r\n" + b"A" * 20000 + b"\r\n")
    assert c.line().startswith("+ ") and c.line().startswith("-ERR")
    c.login()


def test_in_use(t):
    s = server(t)
    fill(s, 1)
    first = pop(s).login()
    second = pop(s)
    second.talk(("USER " + ANNA, "+OK"), ("PASS " + SECRET, "-ERR [IN-USE]"))
    with client(s, select="INBOX") as c:  # IMAP goes on
        assert c.uids() == [1]
    pop(s).login(BERT).talk(("QUIT", "+OK"))  # others are not held up
    first.close()
    wait_until("the end of the lock", lambda: locked_out(s) is None)


def locked_out(s):
    c = pop(s)
    c.talk(("USER " + ANNA, "+OK"))
    c.raw(b"PASS %s\r\n" % SECRET.encode())
    answer = c.line()
    c.close()
    return None if answer.startswith("+OK") else answer


def test_nothing_goes_without_quit(t):
    s = server(t)
    fill(s)
    c = pop(s).login()
    c.talk(("DELE 1", "+OK"), ("DELE 3", "+OK"))
    c.close()
    wait_until("the end of the lock", lambda: locked_out(s) is None)
    c = pop(s, "implicit").login()
    c.talk(("STAT", "+OK 3"), ("DELE 1", "+OK"))
    s.process.send_signal(signal.SIGTERM)  # with the session open
    assert "[SYS/TEMP]" in c.last_words()
    c.close()
    s.restart()
    c = pop(s).login()
    c.talk(("STAT", "+OK 3"), ("DELE 1", "+OK"), ("DELE 2", "+OK"), ("QUIT", "+OK"))
    with client(s, select="INBOX") as i:
        assert i.uids() == [3]


def test_gone_meanwhile(t):
    """What IMAP expunges under a POP3 session is refused or served, never another message; what comes is not shown."""
    s = server(t)
    fill(s, 4)
    c = pop(s).login()
    ids = c.lines("UIDL")
    with client(s, select="INBOX") as i:
        i.do(r"STORE 2 +FLAGS (\Deleted)")
        i.do("EXPUNGE")
        i.append("INBOX", message("new"))
    c.talk(("STAT", "+OK 4"), ("RETR 2", "-ERR"))
    assert "Subject: number 2" in c.lines("RETR 3") and c.lines("UIDL") == ids
    c.talk(*[("RETR 2", "-ERR")] * 30)  # is no mistake of the client's
    c.talk(("DELE 2", "+OK"), ("DELE 3", "+OK"), ("QUIT", "+OK"))
    with client(s, select="INBOX") as i:
        assert i.uids() == [1, 4, 5]
        assert i.do("FETCH 1:* FLAGS")


def test_unreadable(t):
    """A file that cannot be read is refused for now, and the log says so and why."""
    s = server(t)
    fill(s, 2)
    for part in ("cur", "new"):
        for name in os.listdir(os.path.join(s.maildir(), part)):
            if re.search(r",U=1\b", name):
                os.chmod(os.path.join(s.maildir(), part, name), 0)
    c = pop(s).login()
    c.talk(("RETR 1", "-ERR [SYS/TEMP]"), ("TOP 1 0", "-ERR [SYS/TEMP]"), ("RETR 2", "+OK"))
    s.wait_log(r"level=error event=message-unreadable session=\S+ user=%s uid=1 reason=\S" % ANNA)


def test_uidl(t):
    """Stable in all formats, unique, of 1 to 70 printable characters; and the one of Dovecot is like Dovecot's."""
    for form in ("validity.uid", "dovecot", "uid", "name"):
        s = server(t, {"pop3": {"uidl": form}}, name=form)
        fill(s, 12)
        c = pop(s).login()
        ids = [line.split()[1] for line in c.lines("UIDL")]
        assert len(set(ids)) == 12 and all(re.fullmatch(r"[!-~]{1,70}", i) for i in ids), ids
        c.talk(("UIDL 3", "+OK 3 " + ids[2]), ("DELE 1", "+OK"), ("QUIT", "+OK"))
        with client(s, select="INBOX") as i:
            validity = int(i.do("STATUS INBOX (UIDVALIDITY)").find(rb"UIDVALIDITY (\d+)").group(1))
            i.do(r"STORE 1:* +FLAGS (\Seen \Flagged k)")
        want = {"validity.uid": "%d.2" % validity, "dovecot": "%08x%08x" % (2, validity), "uid": "2"}.get(form, ids[1])
        s.restart()
        c = pop(s).login()
        assert [line.split()[1] for line in c.lines("UIDL")] == ids[1:] and ids[1] == want, (form, ids, want)
        c.close()
        s.stop()


def test_uidl_of_the_file_name(t):
    """As it was when the file came, whatever was added to it since."""
    s = server(t, {"pop3": {"uidl": "name"}})
    with client(s) as i:
        i.append("INBOX", message("ours"))
    text = b"Subject: x\n\nlines\n"
    names = ["102.c.h", "103.c.h,S=18", "104.c.h,S=18,W=21", "105.c.h,S=1", "106.c.h,x,S=18,y"]
    for name in names:
        with open(os.path.join(s.maildir(), "new", name), "wb") as out:
            out.write(text)
        os.utime(out.name, (1700000000, 1700000000))
        os.chmod(out.name, 0o666)
    for _ in range(2):
        c = pop(s).login()
        ids = [line.split()[1] for line in c.lines("UIDL")]
        assert ids[1:4] + ids[5:] == names[:3] + names[4:] and ids[4] in ("105.c.h", "105.c.h,S=1"), ids
        c.talk(("QUIT", "+OK"))
        wait_until("names", lambda: not os.listdir(os.path.join(s.maildir(), "new")))
        s.stop()
        os.unlink(os.path.join(os.path.dirname(s.maildir()), "index.db"))
        s.start()
    with client(s, select="INBOX") as i:
        assert i.uids() == [1, 2, 3, 4, 5, 6]


def test_leave_on_server(t):
    s = server(t, {"users": {ANNA: {"leave_on_server": True}}})
    fill(s)
    c = pop(s).login()
    c.talk(("DELE 1", "+OK"), ("RETR 2", "+OK"))
    while c.line() != ".":
        pass
    c.talk(("QUIT", "+OK"))
    c = pop(s).login()
    assert [line.split()[0] for line in c.lines("LIST")] == ["1", "2"]
    c.talk(("QUIT", "+OK"))
    with client(s, select="INBOX") as i:
        assert i.uids() == [1, 2, 3]
        assert i.do("FETCH 2 FLAGS").find(rb"\\Seen")


def test_services(t):
    s = server(t, {"users": {ANNA: {"services": ["imap"]}}})
    c = pop(s)
    c.talk(("USER " + ANNA, "+OK"), ("PASS " + SECRET, "-ERR [AUTH] "))
    line = c.talk(("AUTH PLAIN " + PLAIN, "-ERR [AUTH] "))
    assert "IMAP" in line, line
    line = c.talk(("USER " + ANNA, "+OK"), ("PASS wrong", "-ERR [AUTH] "))
    assert "IMAP" not in line, "the wrong password must not learn it: " + line


def test_stls(t):
    s = server(t, {"limits": {"errors": 1000}})
    c = pop(s, "starttls")
    assert "STLS" in c.lines("CAPA")
    c.talk(("STLS now", "-ERR"), ("USER " + ANNA, "+OK"), ("STLS", "+OK"))
    c.wrap()
    c.talk(("PASS " + SECRET, "-ERR USER first"), ("STLS", "-ERR"))  # what was said before is forgotten
    assert "STLS" not in c.lines("CAPA")
    c.login()
    pop(s).talk(("STLS", "-ERR"))
    pop(s, "implicit").talk(("STLS", "-ERR"))
    for behind in (b"NOOP\r\n", b"USER %s\r\nPASS %s\r\n" % (ANNA.encode(), SECRET.encode()), b"x"):
        c = pop(s, "starttls")
        c.raw(b"STLS\r\n" + behind)
        said = c.last_words()
        assert said.count("\n") <= 1 and "Now the password" not in said, said


def test_logins_without_tls(t):
    s = server(t, {"listen": [listener("pop3", "starttls", proxy_from=["127.0.0.1/32"])]})
    c = pop(s, "starttls", greet=False)
    c.raw(b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 110\r\n")
    c.line()
    capabilities = c.lines("CAPA")
    assert "STLS" in capabilities and "USER" not in capabilities and not [x for x in capabilities if x.startswith("SASL")], capabilities
    c.talk(("USER " + ANNA, "-ERR"), ("PASS " + SECRET, "-ERR"), ("AUTH PLAIN " + PLAIN, "-ERR"), ("STLS", "+OK"))
    c.wrap()
    assert "USER" in c.lines("CAPA")
    c.login()


def test_pipelining(t):
    s = server(t)
    fill(s, 5)
    c = pop(s)
    c.raw(b"USER %s\r\nPASS %s\r\nSTAT\r\nUIDL 5\r\nRETR 1\r\nTOP 2 0\r\nDELE 3\r\nNOOP\r\nDELE 5\r\nRSET\r\nDELE 4\r\nQUIT\r\n" % (ANNA.encode(), SECRET.encode()))
    said = c.last_words()
    status = [line for line in said.split("\r\n") if line.startswith(("+OK", "-ERR"))]
    assert len(status) == 12 and not [line for line in status if line.startswith("-")], said
    c = pop(s)
    for octet in b"USER %s\r\nPASS %s\r\nSTAT\r\n" % (ANNA.encode(), SECRET.encode()):
        c.raw(bytes([octet]))
    assert [c.line()[:5] for _ in range(3)] == ["+OK N", "+OK 4", "+OK 4"]


def test_bad_input(t):
    s = server(t)
    c = pop(s)
    c.talk(("NOOP " + "x" * 300, "-ERR"), ("CAPA", "+OK"))
    while c.line() != ".":
        pass
    c.raw(b"X" * 100000 + b"\r\n")
    assert c.line().startswith("-ERR The line is too long")
    for octets in (b"US\0ER x\r\n", b"USER x\rPASS y\r\n", b"USER x\nPASS y\r\n"):
        c.raw(octets)
        assert c.line().startswith("-ERR A line ends"), octets
    c.login()
    for n in range(9):
        c.talk(("NONSENSE", "-ERR"))
    c.talk(("NOOP", "+OK"))  # counted anew
    for n in range(9):
        c.talk(("NONSENSE", "-ERR"))
    assert "Too many errors" in c.talk(("NONSENSE", "-ERR"))
    assert locked_out(s) is None, "the lock goes with the session"
    assert c.last_words() == ""
    for foreign in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.0\r\n\r\nUSER x\r\n", b"EHLO x\r\n"):
        c = pop(s)
        c.raw(foreign)
        assert c.last_words() == "", foreign


def test_deadlines(t):
    s = server(t, {"limits": {"timeouts": {"login": "300ms", "pop3": "400ms"}}})
    fill(s, 1)
    c = pop(s)
    assert c.is_closed()
    c = pop(s).login()
    c.talk(("DELE 1", "+OK"))
    assert c.is_closed()
    with client(s, select="INBOX") as i:
        assert i.uids() == [1], "a session that ends by its deadline deletes nothing"


def test_never_reads(t):
    """A49: answers that nobody reads are not gathered without end."""
    s = server(t)
    with client(s) as c:
        for _ in range(8):
            c.do(b"APPEND INBOX" + b"".join(b" " + literal(b"Subject: x\r\n\r\n") for n in range(100)))
    c = pop(s).login()
    before = s.memory("VmRSS")
    sent = 0
    c.sock.settimeout(1)
    try:
        while sent < 5000:
            c.raw(b"UIDL\r\n" * 1000)
            sent += 1
    except TimeoutError:
        pass
    assert sent < 5000, "it must stop taking commands"
    pop(s).login(BERT).talk(("QUIT", "+OK"))  # others are served
    if not sanitized(t.binary):
        assert s.memory() - before < 2 << 20, "%d KiB" % ((s.memory() - before) >> 10)
    # when it reads at last, all is there
    c.sock.settimeout(30)
    for _ in range(20):
        assert c.line().startswith("+OK") and [c.line() for _ in range(801)][-1] == "."
    c.close()
