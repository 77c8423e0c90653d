"""IMAP's dialogue outside mailboxes: greeting, capabilities, logins, STARTTLS, states, syntax and literals."""
import base64
import hashlib
import hmac
import os

from imap import Imap, client, literal, server, talk
from lib import ANNA, BERT, HASHES, PASSWORDS, b64, listener, wait_until

SECRET = PASSWORDS[ANNA]
PLAIN = b64("\0%s\0%s" % (ANNA, SECRET))
EXTENSIONS = """IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR IDLE NAMESPACE ID CHILDREN UNSELECT UIDPLUS ESEARCH SEARCHRES WITHIN ENABLE
    CONDSTORE QRESYNC LIST-EXTENDED LIST-STATUS SPECIAL-USE CREATE-SPECIAL-USE MOVE MULTIAPPEND QUOTA QUOTA=RES-STORAGE BINARY
    SORT SORT=DISPLAY THREAD=REFERENCES THREAD=ORDEREDSUBJECT STATUS=SIZE OBJECTID SAVEDATE PREVIEW REPLACE PARTIAL
    UTF8=ACCEPT""".split()
ARGUMENTS = {  # every command in a form that its state alone can refuse
    "selected": ["CHECK", "CLOSE", "UNSELECT", "EXPUNGE", "UID EXPUNGE 1", "SEARCH ALL", "UID SEARCH ALL",
                 "SORT (DATE) UTF-8 ALL",
                 "UID SORT (DATE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "UID THREAD REFERENCES UTF-8 ALL",
                 "FETCH 1 UID",
                 "UID FETCH 1 UID", r"STORE 1 FLAGS ()", "UID STORE 1 FLAGS ()", "COPY 1 Sent", "UID COPY 1 Sent",
                 "MOVE 1 Sent",
                 "UID MOVE 1 Sent", "REPLACE 1 Sent {1+}\r\nx", "UID REPLACE 1 Sent {1+}\r\nx"],
    "authenticated": ["ENABLE CONDSTORE", "SELECT INBOX", "EXAMINE INBOX", "CREATE x", "DELETE x", "RENAME x y",
                      "SUBSCRIBE x",
                      "UNSUBSCRIBE x", 'LIST "" *', 'LSUB "" *', "NAMESPACE", "STATUS INBOX (MESSAGES)",
                      "APPEND INBOX {1+}\r\nx",
                      "IDLE", 'GETQUOTA ""', "GETQUOTAROOT INBOX", 'SETQUOTA "" ()'],
    "not authenticated": ["STARTTLS", "LOGIN a b", "AUTHENTICATE PLAIN =="],
}
SCRAM = ("{SCRAM-SHA-256}4096,ZmFjdGV1cnRlc3QxMjM0NQ==,sRTpiW0Zj3hwmO5DKDAGMSySnZkI6N8ld6XahHDlbmA=,"
         "VkQgOJAaPPlzIvAhWAK+zcFTFLS9+uYs15azdtU15Kg=")  # "secret"
# SCRAM is offered when everybody can use it.
USERS = {"alice@example.org": {"password": [SCRAM]}, ANNA: {"password": [HASHES[ANNA], SCRAM]},
         BERT: {"password": [SCRAM]}}
PROXY = b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 143\r\n"


def connect(s, tls="none", **more):
    return Imap(s.ports["imap", tls], tls=tls == "implicit", **more)


def stranger(s, tls="none"):
    """A connection from elsewhere than this machine."""
    c = connect(s, tls, greet=False)
    c.raw(PROXY)
    c.greeting = c.line()
    return c


def closed(c):
    """What the server still says before it closes."""
    c.sock.settimeout(10)
    try:
        while True:
            c.more()
    except (EOFError, ConnectionError):
        return c.buffer


def test_any_state(t):
    s = server(t, {"users": USERS})
    with connect(s) as c:
        assert c.greeting.startswith(b"* OK [CAPABILITY IMAP4rev1 ") and b"AUTH=PLAIN" in c.greeting, c.greeting
        talk(c,
             ("CAPABILITY", "OK", r"^\* CAPABILITY .*SASL-IR.* AUTH=SCRAM-SHA-256", "!STARTTLS|LOGINDISABLED"),
             ("NOOP", "OK", r"^a2 OK"),
             ('ID ("name" "test" "version" NIL)', "OK", r'^\* ID \("name" "facteur"'),
             ("ID NIL", "OK"),
             ("noop", "OK"),
             ("CAPABILITY x", "BAD"), ("ID", "BAD"), ("NOOP", "OK"), ('ID ("name")', "BAD"), ("NONSENSE", "BAD"),
             ("NOOP", "OK"), ("UID NOOP", "BAD"))
        c.login()
        found = c.do("CAPABILITY").untagged[0].decode().split()
        assert not [name for name in EXTENSIONS if name not in found], found
        assert [name for name in found if name.startswith("APPENDLIMIT=")] and "LOGINDISABLED" not in found
        assert not [name for name in found if name.startswith("AUTH=") or name == "STARTTLS"], found
        talk(c, ("LOGOUT", "OK", r"^\* BYE "))
        assert closed(c) == b""


def test_wrong_states(t):
    s = server(t, {"limits": {"errors": 100}})
    for command in ARGUMENTS["authenticated"] + ARGUMENTS["selected"]:
        with connect(s) as c:
            talk(c, (command, "BAD", "Log in first"), ("NOOP", "OK"))
    with client(s) as c:
        for command in ARGUMENTS["selected"] + ARGUMENTS["not authenticated"]:
            talk(c, (command, "BAD", "Select a mailbox first|Already logged in"))
        talk(c, ("SELECT INBOX", "OK"), ("ENABLE CONDSTORE", "BAD"), ("LOGIN a b", "BAD"), ("STARTTLS", "BAD"),
             ("SELECT Nowhere", "NO", "CLOSED"), ("FETCH 1 UID", "BAD"),
             ("EXAMINE INBOX", "OK"), ("UNSELECT", "OK"), ("CHECK", "BAD"))


def test_authenticate(t):
    s = server(t, {"limits": {"auth_failures": 10, "errors": 100}, "users": USERS})

    def answers(command, *lines):
        """The final answer of a command that is asked for more so often."""
        c = connect(s)
        tag = c.send(command)
        for line in lines:
            more = c.line()
            assert more.startswith(b"+ "), more
            c.raw((line(more[2:]) if callable(line) else line.encode()) + b"\r\n")
        return c.wait(tag)

    def logged_in(*exchange):
        answer = answers(*exchange)
        assert answer.status == "OK" and b"[CAPABILITY " in answer.final, answer

    logged_in("AUTHENTICATE PLAIN " + PLAIN)
    logged_in("AUTHENTICATE PLAIN", PLAIN)
    logged_in("authenticate login", b64(ANNA), b64(SECRET))
    logged_in("AUTHENTICATE LOGIN " + b64(ANNA), b64(SECRET))
    logged_in(b"LOGIN " + literal(ANNA.encode()) + b" " + literal(SECRET.encode()))
    logged_in('LOGIN anna "%s"' % SECRET)  # the default domain's
    for command, lines, status in (("PLAIN", ["*"], "BAD"), ("PLAIN", ["@@@"], "BAD"), ("PLAIN =", [], "BAD"),
                                   ("PLAIN " + b64("no NUL"), [], "BAD"), ("PLAIN " + b64("\0a\0b\0c"), [], "BAD"),
                                   ("PLAIN " + b64("\0%s\0wrong" % ANNA), [], "NO"), ("LOGIN", [b64(ANNA), "*"], "BAD"),
                                   ("LOGIN", [b64(ANNA), b64("wrong")], "NO"), ("CRAM-MD5", [], "NO"),
                                   ("EXTERNAL =", [], "NO"),
                                   ("SCRAM-SHA-256", [b64("y")], "BAD")):
        answer = answers("AUTHENTICATE " + command, *lines)
        assert answer.status == status, (command, lines, answer)
        assert status == "BAD" or b"[AUTHENTICATIONFAILED]" in answer.final or b"not available" in answer.final, answer

    c = connect(s)  # a line of SASL that has no end
    tag = c.send("AUTHENTICATE PLAIN")
    c.line()
    c.raw(b"A" * 20000 + b"\r\n")
    assert c.wait(tag).status == "BAD"
    talk(c, ("AUTHENTICATE PLAIN " + PLAIN, "OK"), ("NOOP", "OK"))

    # the name is not told from the password
    texts = {answers("LOGIN %s wrong" % user).final.split(b" ", 1)[1] for user in (ANNA, BERT, "nobody@example.org",
        "x@y")}
    assert len(texts) == 1, texts


def test_scram(t):
    """RFC 5802 and 7677: with an initial response and without; the server's signature is checked and its empty answer owed."""
    s = server(t, {"users": USERS})
    nonce = base64.b64encode(os.urandom(18)).decode()
    for user, password, initial, status in (("alice@example.org", "secret", True, "OK"),
                                            ("alice", "secret", False, "OK"),
                                            ("alice@example.org", "wrong", True, "NO"),
                                            ("nobody@example.org", "secret", True, "NO")):
        bare = "n=%s,r=%s" % (user, nonce)
        c = connect(s)
        tag = c.send("AUTHENTICATE SCRAM-SHA-256" + (" " + b64("n,," + bare) if initial else ""))
        if not initial:
            assert c.line() == b"+ "
            c.raw(b64("n,," + bare).encode() + b"\r\n")
        challenge = base64.b64decode(c.line()[2:]).decode()
        parts = dict(p.split("=", 1) for p in challenge.split(","))
        assert parts["r"].startswith(nonce) and len(parts["r"]) > len(nonce), challenge
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        final = "c=biws,r=" + parts["r"]
        signed = ",".join((bare, challenge, final)).encode()
        proof = bytes(a ^ b for a, b in zip(key, hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")))
        c.raw(b64(final + ",p=" + base64.b64encode(proof).decode()).encode() + b"\r\n")
        if status == "OK":
            signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
            assert base64.b64decode(c.line()[2:]).decode() == "v=" + base64.b64encode(signature).decode()
            c.raw(b"\r\n")
        answer = c.wait(tag)
        assert answer.status == status, answer


def test_starttls(t):
    s = server(t)
    with connect(s, "starttls") as c:
        assert b" STARTTLS" in c.greeting
        talk(c, ("STARTTLS x", "BAD"), ("STARTTLS", "OK"))
        c.wrap()
        talk(c, ("CAPABILITY", "OK", "!STARTTLS"), ("STARTTLS", "BAD", "already active"))
        c.login()
        talk(c, ("SELECT INBOX", "OK"))
    with connect(s) as c:
        talk(c, ("STARTTLS", "BAD"), ("NOOP", "OK"))
    with connect(s, "implicit") as c:
        talk(c, ("STARTTLS", "BAD"))
        c.login()


def test_starttls_injection(t):
    s = server(t)
    for behind in (b"a2 NOOP\r\n", b"a2 LOGIN %s %s\r\n" % (ANNA.encode(), SECRET.encode()), b"a", b"\r\n"):
        with connect(s, "starttls") as c:
            c.raw(b"a1 STARTTLS\r\n" + behind)
            said = closed(c)
            assert said.startswith(b"a1 BAD") and b"a2" not in said and b"OK" not in said, said


def test_logins_without_tls(t):
    """From elsewhere a password is not to be sent in plain, and is not taken."""
    s = server(t, {"listen": [listener("imap", "starttls", proxy_from=["127.0.0.1/32"]),
                              listener("imap", "none", proxy_from=["127.0.0.1/32"]),
                              listener("imap", "implicit")]})
    for tls in ("starttls", "none"):
        c = stranger(s, tls)
        assert b"LOGINDISABLED" in c.greeting and b"AUTH=" not in c.greeting, c.greeting
        talk(c, ('LOGIN %s "%s"' % (ANNA, SECRET), "NO", r"\[PRIVACYREQUIRED\]"),
             ("AUTHENTICATE PLAIN " + PLAIN, "NO", r"\[PRIVACYREQUIRED\]"),
             ("AUTHENTICATE SCRAM-SHA-256", "NO", r"\[PRIVACYREQUIRED\]"), ("SELECT INBOX", "BAD"))
        if tls == "starttls":
            talk(c, ("STARTTLS", "OK"))
            c.wrap()
            talk(c, ("CAPABILITY", "OK", "AUTH=PLAIN", "!LOGINDISABLED"), ('LOGIN %s "%s"' % (ANNA, SECRET), "OK"))


def test_reload_ends_what_could_not_log_in_any_more(t):
    """A lost telephone's IDLE goes on for weeks; what has been taken from it has to end now."""
    s = server(t)
    for change in ({ANNA: {"enabled": False}}, {ANNA: {"services": ["pop3"]}}, {ANNA: {"password": HASHES[BERT]}}):
        idle, other = client(s, select="INBOX"), client(s, user=BERT, select="INBOX")
        idle.send("IDLE")
        assert idle.line().startswith(b"+")
        s.reload()
        other.do("NOOP")
        s.reload(users=change)
        assert idle.line() == b"* BYE Log in again"
        closed(idle)
        other.do("NOOP")
        other.close()
        s.reload(users={ANNA: {"enabled": True, "services": ["imap", "pop3"], "password": HASHES[ANNA]}})
    s.wait_log("event=session-revoked .*reason=\"the account is switched off\"")


def test_services_of_an_account(t):
    s = server(t, {"users": {ANNA: {"services": ["pop3", "submission"]}}})
    with connect(s) as c:
        talk(c, ('LOGIN %s "%s"' % (ANNA, SECRET), "NO", r"\[AUTHORIZATIONFAILED\].*POP3"),
             ("AUTHENTICATE PLAIN " + PLAIN, "NO", r"\[AUTHORIZATIONFAILED\].*POP3"),
             ("LOGIN %s wrong" % ANNA, "NO", r"\[AUTHENTICATIONFAILED\]", "!POP3"))


def test_failed_logins_end_a_connection(t):
    s = server(t, {"limits": {"auth_failures": 3}})
    with connect(s) as c:
        for n in range(3):
            c.do("LOGIN %s wrong" % ANNA, "NO")
        assert b"* BYE" in closed(c)
    client(s).close()  # the account is as good as before


def test_syntax(t):
    s = server(t, {"limits": {"errors": 1000}})
    with client(s, select="INBOX") as c:
        for line in (b"", b" ", b"a", b"a ", b" NOOP", b"+ NOOP", b"a+b NOOP", b"(a NOOP", b'"a" NOOP', b"* NOOP",
                     b"%s NOOP" % (b"t" * 5000)):
            c.raw(line + b"\r\n")
            answer = c.line()
            assert b" BAD " in answer, (line, answer)
            assert answer.startswith(b"* BAD") or line.startswith(answer.split(b" ")[0]), (line, answer)
        for command in ('SELECT "INBOX', "SELECT INBOX x", "SELECT (INBOX)", 'LIST "" ""x', "STATUS INBOX",
                        "STATUS INBOX ()",
                        "STATUS INBOX MESSAGES", "STATUS INBOX (NONSENSE)", "FETCH", "FETCH 1", "FETCH 1 ()",
                        "FETCH 1 (UID",
                        "FETCH 1 UID)", "FETCH 1 (UID FLAGS))", "FETCH 1 NONSENSE", "FETCH 1 BODY[",
                        "FETCH 1 BODY[1.MIME.2]",
                        "FETCH 1 BODY[MIME]", "FETCH 1 BODY[0]", "FETCH 1 BODY[.1]", "FETCH 1 BODY[1.]",
                        "FETCH 1 BODY[HEADER.FIELDS]",
                        "FETCH 1 BODY[HEADER.FIELDS ()]", "FETCH 1 BODY[]<0>", "FETCH 1 BODY[]<0.0>",
                        "FETCH 1 BODY[]<-1.5>",
                        "FETCH 1 BODY[]<99999999999999999999.1>", "FETCH 1 BODY[]<0.18446744073709551617>",
                        "STORE 1 FLAGS",
                        "STORE 1 FLAGS \\Nonsense", "STORE 1 +FLAG (\\Seen)", "STORE 1 FLAGS (a b",
                        "STORE 1 FLAGS (a(b)",
                        "SEARCH", "SEARCH NONSENSE", "SEARCH NOT", "SEARCH OR ALL", "SEARCH (ALL", "SEARCH ()",
                        "SEARCH ALL)",
                        "SEARCH BEFORE 32-Jan-2020", "SEARCH ON 1-Foo-2020", "SEARCH SINCE 2020-01-01",
                        "SEARCH LARGER x",
                        "SEARCH UID", "SEARCH HEADER a", "SEARCH RETURN ALL", "SEARCH RETURN (NONSENSE) ALL",
                        "SEARCH CHARSET UTF-8",
                        "SORT DATE UTF-8 ALL", "SORT () UTF-8 ALL", "SORT (NONSENSE) UTF-8 ALL",
                        "SORT (REVERSE) UTF-8 ALL", "THREAD NONSENSE UTF-8 ALL", "COPY 1", "MOVE", "RENAME x",
                        "CREATE", "ENABLE",
                        "APPEND INBOX", "APPEND INBOX (\\Seen) x", "ID (a b", "UID", "UID 1 FETCH", "LOGOUT x",
                        "EXPUNGE 1"):
            c.do(command, "BAD")
        talk(c, ("SEARCH CHARSET KLINGON ALL", "NO", r"\[BADCHARSET \("), ("SORT (DATE) ALL", "BAD"),
             ("SORT (DATE) KLINGON ALL", "NO", r"\[BADCHARSET \("),
             ("NOOP", "OK"))


def test_sets(t):
    s = server(t, {"limits": {"errors": 1000}})
    with client(s, select="INBOX") as c:
        for n in range(4):
            c.append("INBOX", b"Subject: %d\r\n\r\n" % n)
        for bad in ("0", "-1", "a", "1:", ":1", "1,,2", ",1", "1,", "1:2:3", "4294967296", "18446744073709551617",
                    "1-2", "**", "$$",
                    "1,$", "9" * 100, "0:1", "01:x"):
            talk(c, ("FETCH %s UID" % bad, "BAD"), ("UID FETCH %s UID" % bad, "BAD"))
        for good, want in (("1", [1]), ("1:2", [1, 2]), ("2:1", [1, 2]), ("*", [4]), ("*:3", [3, 4]), ("3:*", [3, 4]),
                           ("1,3:4,1", [1, 3, 4]), ("4294967295:*", [4]), ("1:4294967295", [1, 2, 3, 4]),
                           (",".join(["1:*"] * 5000), [1, 2, 3, 4]),
                           (",".join("%d" % n for n in range(1, 9000, 1)), [1, 2, 3, 4])):
            found = c.do("UID FETCH %s UID" % good).all(rb"UID (\d+)")
            assert [int(m.group(1)) for m in found] == want, (good[:40], found)
        talk(c, ("UID FETCH 5000:6000 UID", "OK", "!FETCH \\("),
             ("FETCH 5 UID", "BAD"), ("FETCH 1:5 UID", "BAD"))  # RFC 9051: numbers that are not there


def test_literals(t):
    s = server(t, {"limits": {"errors": 100, "message_size": 100000}})
    for size in ("9000", "2147483648", "4294967296", "18446744073709551616", "9" * 100, "-1", "", "a", "1x", "0x10",
                 " 1"):
        with connect(s) as c:  # before login: 8 KiB for all of a command
            talk(c, ("LOGIN {%s}" % size, "BAD"), ("NOOP", "OK"))
    with connect(s) as c:
        tag = c.send("LOGIN {%d}" % len(ANNA))  # synchronising: it waits for "+"
        assert c.line().startswith(b"+")
        c.raw(ANNA.encode() + b" {%d+}\r\n%s\r\n" % (len(SECRET), SECRET.encode()))
        assert c.wait(tag).status == "OK"
        talk(c, (b"SELECT " + literal(b"INBOX"), "OK"), ("SELECT {5-}", "BAD"), ("CREATE {0+}\r\n", "BAD"))
        talk(c, (b"STATUS " + literal(b"In\r\nbox") + b" (MESSAGES)", "BAD"), ("NOOP", "OK"))
        talk(c, ("APPEND INBOX {100001}", "NO", r"\[TOOBIG\]"), ("APPEND INBOX {4294967296}", "NO", r"\[TOOBIG\]"),
             ("APPEND INBOX {18446744073709551616}", "NO", r"\[TOOBIG\]"), ("NOOP", "OK"),
             ("APPEND INBOX {0+}\r\n", "NO"))
    for size in (b"4294967297+", b"99999999999999999999+", b"18446744073709551617+"):
        with client(s) as c:  # nobody could tell what follows from commands
            c.raw(b"x APPEND INBOX {%s}\r\n" % size + b"y" * 1000)
            assert b"BYE" in closed(c), size
    with connect(s) as c:
        c.raw(b"x LOGIN {100000000+}\r\n" + b"y" * 1000)
        assert b"BYE" in closed(c)
    assert s.run("status").returncode == 0


def test_long_lines(t):
    s = server(t, {"limits": {"errors": 100}})
    with connect(s) as c:
        talk(c, ("NOOP " + "x" * 7000, "BAD"), ("NOOP " + "x" * 9000, "BAD", "longer than"), ("NOOP", "OK"))
        c.login()
        talk(c, ("NOOP " + "x" * 60000, "BAD"), ("NOOP " + "x" * 70000, "BAD", "longer than"), ("NOOP", "OK"))
        for octets in (b"n1 NO\0OP\r\n", b"n1 NO\rOP\r\n", b"n1 NOOP\nn2 NOOP\r\n", b"n1 NOOP\r\0\r\n"):
            c.raw(octets)
            answer = c.line()
            assert answer.startswith(b"n1 BAD"), (octets, answer)
            talk(c, ("NOOP", "OK", "!n2"))


def test_errors_end_a_connection(t):
    s = server(t)
    for c, errors in ((connect(s), 3), (client(s), 10)):
        for n in range(errors - 1):
            c.do("NONSENSE", "BAD")
        c.do("NOOP")  # only those in a row count
        for n in range(errors):
            c.do("NONSENSE", "BAD")
        assert b"* BYE Too many errors" in closed(c)
    for foreign in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.0\r\n\r\na LOGIN x y\r\n",
                    b"\x16\x03\x01\x02\x00\x01"):
        with connect(s) as c:
            c.raw(foreign)
            assert closed(c) == b"", foreign


def test_commands_are_answered_in_order(t):
    s = server(t)
    with client(s) as c:
        c.append("INBOX", b"Subject: x\r\n\r\n")
        c.raw(b"1 SELECT INBOX\r\n2 FETCH 1 BODY[]\r\n3 STORE 1 +FLAGS (\\Deleted)\r\n4 NOOP\r\n5 EXPUNGE\r\n6 SEARCH ALL\r\n"
              b"7 APPEND INBOX {5+}\r\nx: y\n\r\n8 STATUS Sent (MESSAGES)\r\n9 UNSELECT\r\n10 LOGOUT\r\n")
        said = closed(c)
        tags = [line.split(b" ")[0] for line in said.split(b"\r\n") if line[:1].isdigit()]
        assert tags == [b"%d" % n for n in range(1, 11)], said
        assert said.count(b" OK ") >= 10 and b" BAD " not in said and b" NO " not in said, said


def test_deadlines(t):
    s = server(t, {"limits": {"timeouts": {"login": "300ms", "imap": "400ms"}}})
    with connect(s) as c:  # a drip of octets does not count as speaking
        def dripped():
            try:
                c.raw(b"x")
            except ConnectionError:
                return True
            return b"BYE" in c.buffer if not reads(c) else True
        wait_until("the end of a slow login", dripped, 10)
    with client(s) as c:
        assert b"* BYE" in closed(c)


def reads(c):
    """Takes what is there; true at the end."""
    c.sock.settimeout(0.05)
    try:
        c.more()
    except TimeoutError:
        return False
    except (EOFError, ConnectionError):
        return True
    return False
