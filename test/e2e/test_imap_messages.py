"""IMAP's commands on messages: FETCH, STORE, APPEND, COPY, MOVE, EXPUNGE, REPLACE, and when what is told."""
import contextlib
import os
import re

from imap import client, literal, server, talk
from lib import ANNA, message, wait_until
from test_imap_fetch import many

MIXED = (b"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nFrom: Fred Foobar <foobar@example.com>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n"
         b"To: a@example.org, b@example.org\r\nCc: c@example.org\r\nMessage-ID: <B27397-0100000@example.com>\r\nMIME-Version: 1.0\r\n"
         b"Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\npreamble\r\n"
         b"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe from the first part\r\n"
         b"--b\r\nContent-Type: application/octet-stream; name=x.bin\r\nContent-Transfer-Encoding: base64\r\n"
         b"Content-Disposition: attachment; filename=x.bin\r\n\r\nAAECAwQFBgcICQ==\r\n"
         b"--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: inner@example.net\r\nSubject: inner\r\n\r\ninner text\r\n"
         b"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: x-unknown\r\n\r\n???\r\n--b--\r\nepilogue\r\n")


def fetch(c, what, set_="1"):
    """The answer to one message's FETCH, without the number."""
    answer = c.do("FETCH %s %s" % (set_, what))
    found = answer.find(rb"^\* \d+ FETCH (.*)$")
    assert found, (what, answer)
    return found.group(1)


def test_fetch_items(t):
    s = server(t)
    with client(s) as c:
        c.append("INBOX", MIXED, r'(\Flagged work) "07-Feb-1994 21:52:25 -0800"')
        c.do("SELECT INBOX")
        total = len(MIXED)
        head = MIXED.split(b"\r\n\r\n")[0] + b"\r\n\r\n"
        text = MIXED[len(head):]
        for item, want in (
                ("RFC822.SIZE", r"\(RFC822.SIZE %d\)" % total),
                           ("INTERNALDATE", r'\(INTERNALDATE " 7-Feb-1994 21:52:25 -0800"\)|\(INTERNALDATE " 8-Feb-1994 05:52:25 \+0000"\)'),
                ("UID", r"\(UID 1\)"), ("FLAGS",
                                        r"\(FLAGS \(\\Flagged work \\Recent\)\)|\(FLAGS \([^)]*\\Flagged[^)]*work[^)]*\)\)|\(FLAGS \([^)]*work[^)]*\\Flagged[^)]*\)\)"),
                ("ENVELOPE", r'\(ENVELOPE \("Mon, 7 Feb 1994 21:52:25 -0800" "=\?utf-8\?Q\?Gr=C3=BC=C3=9Fe\?=" \(\("Fred Foobar" NIL "foobar" "example.com"\)\) '
                             r'\(\("Fred Foobar" NIL "foobar" "example.com"\)\) \(\("Fred Foobar" NIL "foobar" "example.com"\)\) '
                             r'\(\(NIL NIL "a" "example.org"\)\(NIL NIL "b" "example.org"\)\) \(\(NIL NIL "c" "example.org"\)\) NIL NIL "<B27397-0100000@example.com>"\)\)'),
                ("BODY", r'\(BODY \(\("text" "plain" \("charset" "iso-8859-1"\) NIL NIL "quoted-printable" \d+ \d+\)\("application" "octet-stream" .*"mixed"\)\)$'),
                ("BODYSTRUCTURE", r'"attachment" \("filename" "x.bin"\).*"message" "rfc822" NIL NIL NIL "7bit" \d+ \(NIL "inner".*\("boundary" "b"\) NIL NIL NIL\)\)$'),
                ("MODSEQ", r"\(MODSEQ \([1-9]\d*\)\)"), ("EMAILID", r"\(EMAILID \([A-Za-z0-9_-]+\)\)"),
                           ("THREADID", r"\(THREADID (\([A-Za-z0-9_-]+\)|NIL)\)"),
                ("SAVEDATE", r'\(SAVEDATE "[ 0-3]\d-\w{3}-20\d\d \d\d:\d\d:\d\d [+-]\d{4}"\)'),
                           ("PREVIEW", "(?s)\\(PREVIEW .*Gr\u00fc\u00dfe from the first part".encode().decode("latin-1")),
                ("PREVIEW (LAZY)", r"\(PREVIEW "), ("ALL", r"\(FLAGS .*INTERNALDATE .*RFC822.SIZE .*ENVELOPE "),
                           ("FAST", r"\(FLAGS .*INTERNALDATE .*RFC822.SIZE"),
                ("FULL", r"ENVELOPE .*BODY \("), ("BINARY.SIZE[2]", r"\(BINARY.SIZE\[2\] 10\)"),
                           ("BINARY.SIZE[]", r"\(BINARY.SIZE\[\] \d+\)")):
            found = fetch(c, item)
            assert re.search(want.encode("latin-1"), found, re.I), (item, found)

        def section(item, name=None):
            found = fetch(c, item)
            name = (name or item.replace(".PEEK", "")).encode()
            got = re.match(rb"\(%s (?:~?\{(\d+)\}\r\n(.*)|\"(.*)\"|(NIL))\)$" % re.escape(name), found, re.S)
            assert got, (item, found)
            return None if got.group(4) else got.group(3) if got.group(1) is None else got.group(2)

        assert section("BODY.PEEK[]") == MIXED
        assert section("BODY.PEEK[HEADER]") == head and section("BODY.PEEK[TEXT]") == text and section("RFC822.HEADER") == head
        assert section("BODY.PEEK[]<10.20>", "BODY[]<10>") == MIXED[10:30]
        assert section("BODY.PEEK[]<%d.20>" % (total - 5), "BODY[]<%d>" % (total - 5)) == MIXED[-5:]
        for beyond in (total, total + 100, 4294967296, 9223372036854775807):
            assert section("BODY.PEEK[]<%d.20>" % beyond, "BODY[]<%d>" % beyond) == b""
        assert section("BODY.PEEK[]<0.9223372036854775807>", "BODY[]<0>") == MIXED
        assert section("BODY.PEEK[HEADER.FIELDS (Subject TO)]", "BODY[HEADER.FIELDS (SUBJECT TO)]") == \
            b"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nTo: a@example.org, b@example.org\r\n\r\n"
        without = section("BODY.PEEK[HEADER.FIELDS.NOT (Subject)]", "BODY[HEADER.FIELDS.NOT (SUBJECT)]")
        assert b"Subject" not in without and b"Message-ID" in without
        assert section("BODY.PEEK[1]") == b"Gr=FC=DFe from the first part"
        assert section("BODY.PEEK[1.MIME]").startswith(b"Content-Type: text/plain; charset=iso-8859-1\r\n")
        assert section("BODY.PEEK[3.HEADER]") == b"From: inner@example.net\r\nSubject: inner\r\n\r\n"
        assert section("BODY.PEEK[3.TEXT]") == section("BODY.PEEK[3.1]") == b"inner text"
        assert section("BODY.PEEK[3.HEADER.FIELDS (FROM)]",
                       "BODY[3.HEADER.FIELDS (FROM)]") == b"From: inner@example.net\r\n\r\n"
        assert section("BINARY.PEEK[2]", "BINARY[2]") == bytes(range(10))
        assert section("BINARY.PEEK[2]<2.3>", "BINARY[2]<2>") == bytes(range(2, 5))
        assert section("BINARY.PEEK[1]", "BINARY[1]") == "Gr\u00fc\u00dfe from the first part".encode("latin-1")
        talk(c, ("FETCH 1 BINARY.PEEK[4]", "NO", r"\[UNKNOWN-CTE\]"), ("NOOP", "OK"))
        for missing in ("9", "1.1.1", "4294967295", "3.1.1", ".".join("1" * 90)):
            assert section("BODY.PEEK[%s]" % missing) in (None, b""), missing
        assert not re.search(rb"\\Seen", fetch(c, "FLAGS")), "PEEK leaves a message unread"
        talk(c, ("FETCH 1 BODY[1]", "OK", r"\\Seen"), ("STORE 1 -FLAGS (\\Seen)", "OK"),
             ("FETCH 1 RFC822", "OK", r"\\Seen"),
             ("STORE 1 -FLAGS.SILENT (\\Seen)", "OK"), ("FETCH 1 BINARY[2]", "OK", r"\\Seen"),
             ("STORE 1 -FLAGS.SILENT (\\Seen)", "OK"),
             ("FETCH 1 RFC822.TEXT", "OK", r"\\Seen"), ("STORE 1 -FLAGS.SILENT (\\Seen)", "OK"),
             ("FETCH 1 RFC822.HEADER", "OK", r"!\\Seen"))
        talk(c, ("FETCH 1 (%s)" % " ".join("BODY.PEEK[%s]" % ".".join("1" * (n % 50 + 1)) for n in range(60)), None),
             ("NOOP", "OK"),
             ("FETCH 1 (%s)" % " ".join("BODY.PEEK[HEADER.FIELDS (X%d)]" % n for n in range(2000)), "BAD", "too many"),
             ("FETCH 1 BODY.PEEK[%s]" % ".".join("1" * 3000), "BAD"), ("NOOP", "OK"))


def test_store(t):
    s = server(t)
    with client(s) as c:
        for n in range(3):
            c.append("INBOX", b"Subject: %d\r\n\r\n" % n)
        talk(c, ("SELECT INBOX", "OK", r"^\* FLAGS \(.*\\Answered.*\)", r"PERMANENTFLAGS \(.*\\\*\)"),
             (r"STORE 1:2 FLAGS (\Seen)", "OK", r"^\* 1 FETCH \(.*FLAGS \(.*\\Seen", r"^\* 2 FETCH", "!^\\* 3"),
             (r"STORE 1 +FLAGS \Flagged", "OK", r"\\Seen", r"\\Flagged"),
             (r"STORE 1 -FLAGS (\Seen)", "OK", r"\\Flagged", r"!FETCH.*\\Seen"),
             (r"STORE 1 FLAGS ()", "OK", r"!FETCH.*\\Flagged"),
             (r"UID STORE 3 +FLAGS ($Junk $Forwarded Custom)", "OK", r"^\* 3 FETCH \(.*UID 3", r"\$Junk", "Custom"),
             (r"STORE 1 +FLAGS (custom)", "OK", "(?i)custom"),
             (r"STORE 2 +FLAGS.SILENT (\Answered \Draft \Deleted)", "OK", "!FETCH"),
             ("FETCH 2 FLAGS", "OK", r"\\Answered", r"\\Draft", r"\\Deleted"), (r"STORE 1 +FLAGS (\Recent)", "BAD"),
             ("STORE 9 FLAGS ()", "BAD"),
             ("UID STORE 9 FLAGS ()", "OK", "!FETCH"), ("STORE 1 +FLAGS (a]b)", "BAD"), ("NOOP", "OK"),
             ("STORE 1 +FLAGS ()", "OK"))
        talk(c, ("EXAMINE INBOX", "OK", r"PERMANENTFLAGS \(\)", r"\[READ-ONLY\]"), (r"STORE 1 +FLAGS (\Seen)", "NO", r"NO \[CANNOT\]"),
             ("EXPUNGE", "NO", r"NO \[CANNOT\]"),
             ("MOVE 1 Sent", "NO", r"NO \[CANNOT\]"), ("UID EXPUNGE 1", "NO"), ("FETCH 1 BODY[]", "OK", r"!\\Seen"),
             ("COPY 1 Sent", "OK"), ("CLOSE", "OK"),
             ("STATUS INBOX (MESSAGES DELETED)", "OK", "MESSAGES 3 DELETED 1"))
        talk(c, ("SELECT INBOX", "OK"), ("FETCH 1 FLAGS", "OK", r"!\\Seen"))
    s.restart()
    with client(s, select="INBOX") as c:  # flags and keywords are kept
        talk(c, ("FETCH 3 FLAGS", "OK", r"\$Junk", r"\$Forwarded", "Custom"),
             ("FETCH 2 FLAGS", "OK", r"\\Answered", r"\\Draft", r"\\Deleted"))


def test_more_keywords_than_a_mailbox_has(t):
    s = server(t, {"limits": {"keywords": 5}})
    with client(s) as c:
        c.append("INBOX", b"Subject: x\r\n\r\n", "(k1 k2)")
        talk(c, ("SELECT INBOX", "OK", r"PERMANENTFLAGS .*\\\*"),
             ("STORE 1 +FLAGS (k3 k4 k5 k6)", "NO", r"\[LIMIT\].*limits\.keywords"), ("FETCH 1 FLAGS", "OK", "!k3"),
             ("STORE 1 +FLAGS (k1 k3 k4 k5)", "OK", "k5"), ("STORE 1 -FLAGS (k9)", "OK"),
             ("STORE 1 +FLAGS (k2 k7)", "NO", r"\[LIMIT\]"))
        talk(c, ("SELECT INBOX", "OK", r"PERMANENTFLAGS [^]]*k5\)"),
             (b"APPEND INBOX (k8) " + literal(b"Subject: y\r\n\r\n"), "NO", r"\[LIMIT\]"))


def test_close_unselect_expunge(t):
    s = server(t)
    with client(s) as c, client(s) as other:
        for n in range(6):
            c.append("INBOX", b"Subject: %d\r\n\r\n" % n, r"(\Deleted)" if n % 2 else "")
        talk(c, ("SELECT INBOX", "OK"), ("UNSELECT", "OK", "!EXPUNGE"), ("STATUS INBOX (MESSAGES)", "OK", "MESSAGES 6"),
             ("SELECT INBOX", "OK"), ("UID EXPUNGE 1:2", "OK", r"^\* 2 EXPUNGE", r"!^\* 3 EXPUNGE"),
             ("FETCH 1:* UID", "OK", "!UID 2"))
        other.do("SELECT INBOX")
        talk(c, ("CLOSE", "OK", "!EXPUNGE"), ("STATUS INBOX (MESSAGES)", "OK", "MESSAGES 3"), ("CLOSE", "BAD"))
        talk(other, ("FETCH 1:5 FLAGS", "NO", r"\[EXPUNGEISSUED\]", "!EXPUNGE$"), ("SEARCH ALL", "OK", "!EXPUNGE$"),
             ("STORE 1 +FLAGS (\\Seen)", "OK", "!EXPUNGE$"),
             ("UID FETCH 1 FLAGS", "OK", r"EXPUNGE"), ("FETCH 1:* UID", "OK", r"3 FETCH \(UID 5\)|3 FETCH .*UID 5"))
        assert [m.group(1) for m in other.do("UID FETCH 1:* UID").all(rb"UID (\d+)")] == [b"1", b"3", b"5"]
        talk(c, ("SELECT INBOX", "OK"), (r"STORE 1:* +FLAGS.SILENT (\Deleted)", "OK"))
        assert [m.group(1) for m in c.do("EXPUNGE").all(rb"^\* (\d+) EXPUNGE")] in ([b"1"] * 3, [b"3", b"2", b"1"])
        talk(c, ("EXPUNGE", "OK", "!EXPUNGE$"), ("FETCH 1 UID", "BAD"), ("UID FETCH 1:* UID", "OK", "!FETCH \\("))
        assert c.append("INBOX", b"Subject: next\r\n\r\n").final.find(b" 7] ") > 0, "UIDs are not used again"


def test_recent(t):
    """RFC 3501 2.3.2: one session alone is told that a message is recent; EXAMINE takes nothing away."""
    s = server(t)
    with client(s) as one, client(s) as two:
        one.append("INBOX", b"Subject: x\r\n\r\n")
        talk(one, ("EXAMINE INBOX", "OK", r"^\* 1 RECENT"), ("FETCH 1 FLAGS", "OK", r"\\Recent"), ("UNSELECT", "OK"),
             ("SELECT INBOX", "OK", r"^\* 1 RECENT"), ("SEARCH RECENT", "OK", r"SEARCH 1"),
             ("SEARCH NEW", "OK", "SEARCH 1"), ("SEARCH OLD", "OK", "SEARCH$"))
        talk(two, ("SELECT INBOX", "OK", r"^\* 0 RECENT"), ("FETCH 1 FLAGS", "OK", r"!\\Recent"),
             ("SEARCH OLD", "OK", "SEARCH 1"))
        two.append("INBOX", b"Subject: y\r\n\r\n")
        found = [c.do("NOOP").find(rb"^\* (\d) RECENT") for c in (one, two)]
        flags = [b"\\Recent" in c.do("FETCH 2 FLAGS").untagged[0] for c in (one, two)]
        assert sum(flags) == 1, (found, flags)
        talk(one, ("SELECT INBOX", "OK", r"^\* 0 RECENT"))


def test_append(t):
    s = server(t, {"limits": {"errors": 100}})
    with client(s) as c:
        talk(c, (b"APPEND Nowhere " + literal(b"x: y\r\n\r\n"), "NO", r"\[TRYCREATE\]"),
             (b"APPEND INBOX " + literal(b""), "NO"),
             (b'APPEND INBOX (\\Seen) "01-Jan-2001 00:00:00 +0000" ' + literal(b"x: y\r\n\r\n"), "OK",
              r"\[APPENDUID \d+ 1\]"),
             (b'APPEND INBOX "nonsense" ' + literal(b"x: y\r\n\r\n"), "BAD"),
             (b'APPEND INBOX "32-Jan-2001 00:00:00 +0000" ' + literal(b"x: y\r\n\r\n"), "BAD"),
             (b"APPEND INBOX (\\Recent) " + literal(b"x: y\r\n\r\n"), "BAD"),
             (b"APPEND INBOX (\\Nonsense) " + literal(b"x: y\r\n\r\n"), "BAD"),
             ("NOOP", "OK"), (b"APPEND INBOX " + literal(b"x: \0\r\n\r\n"), "NO|BAD"[:2]))
        # several at once (RFC 3502): all or none
        talk(c, (b"APPEND INBOX (\\Seen) " + literal(b"a: 1\r\n\r\n") + b" (k) " + literal(b"a: 2\r\n\r\n") + b" " + literal(b"a: 3\r\n\r\n"),
                 "OK", r"\[APPENDUID \d+ 2:4\]"),
             (b"APPEND INBOX " + literal(b"a: 1\r\n\r\n") + b" (\\Bad(flag) " + literal(b"a: 2\r\n\r\n"), "BAD"),
             (b"APPEND INBOX " + literal(b"a: 1\r\n\r\n") + b" " + literal(b""), "NO"),
             ("STATUS INBOX (MESSAGES)", "OK", "MESSAGES 4"))
        # synchronising literals, one after another
        tag = c.send("APPEND INBOX {8}")
        assert c.line().startswith(b"+")
        c.raw(b"a: 5\r\n\r\n (x) {8}\r\n")
        assert c.line().startswith(b"+")
        c.raw(b"a: 6\r\n\r\n\r\n")
        assert b"5:6]" in c.wait(tag).final
        # a literal that is broken off is no message
        with client(s) as d:
            d.raw(b"x APPEND INBOX {100+}\r\na: b\r\n")
        # binary (RFC 3516): a body of octets that are no lines, and UTF8 (RFC 6855)
        octets = b"Content-Transfer-Encoding: binary\r\n\r\n" + bytes(range(256))
        c.raw(b"b APPEND INBOX ~{%d+}\r\n" % len(octets) + octets + b"\r\n")
        answer = c.wait(b"b")
        assert answer.status == "OK" and b"APPENDUID" in answer.final, answer
        talk(c, ("SELECT INBOX", "OK", "7 EXISTS"))
        lines = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        assert lines.replace(b"\0", b"\x80") in c.do("FETCH 7 BODY.PEEK[]").untagged[0]  # where no NUL may stand
        assert c.do("FETCH 7 BINARY.PEEK[1]").untagged[0].endswith(lines.split(b"\r\n\r\n", 1)[1] + b")")
        talk(c, ("FETCH 1 (INTERNALDATE FLAGS)", "OK", r'" 1-Jan-2001 00:00:00 \+0000"', r"\\Seen"),
             (b"APPEND INBOX " + literal(b"x: new\r\n\r\n"), "OK", r"^\* 8 EXISTS"))
        # the last line stays as it was
        c.append("Sent", b"Subject: x\r\n\r\nno end")
        talk(c, ("SELECT Sent", "OK"), ("FETCH 1 (RFC822.SIZE BODY.PEEK[])", "OK", r"RFC822.SIZE 20 BODY\[\] \{20\}"))
    with client(s) as c:
        talk(c, ("ENABLE UTF8=ACCEPT", "OK"))
        text = "Subject: Gr\u00fc\u00dfe\r\n\r\n".encode()
        c.raw(b"u APPEND INBOX UTF8 (~{%d+}\r\n" % len(text) + text + b")\r\n")
        answer = c.wait(b"u")
        assert answer.status == "OK", answer
        talk(c, ("SELECT INBOX", "OK"), ("FETCH * ENVELOPE", "OK", "Gr\u00fc\u00dfe".encode().decode("latin-1")))
    assert not os.listdir(os.path.join(s.maildir(), "tmp"))


def test_appends_of_many(t):
    """Those that come at once share a commit: each gets UIDs of its own, and one that is refused takes no other along."""
    s = server(t, {"limits": {"keywords": 3}})
    with client(s) as c, contextlib.ExitStack() as stack:
        many = [stack.enter_context(client(s)) for _ in range(12)]
        c.do("SELECT INBOX")
        tags = [one.send(b"APPEND INBOX" + b"".join(b" (%s) " % (b"a b c d" if n == 5 else b"a") + literal(
            b"Subject: %d of %d\r\n\r\n%s" % (k, n, b"x" * (30000 if n == 3 else 10))) for k in range(n % 3 + 1)))
            for n, one in enumerate(many)]
        gone = many.pop()  # it does not wait for its answer: what it sent is there or not, but whole
        tags.pop()
        gone.sock.close()
        uids = {}
        for n, (one, tag) in enumerate(zip(many, tags)):
            answer = one.wait(tag)
            if n == 5:
                assert b"NO [LIMIT]" in answer.final, answer
                continue
            found = re.search(rb"APPENDUID (\d+) (\d+)(?::(\d+))?\]", answer.final)
            assert found, (n, answer)
            first, last = int(found.group(2)), int(found.group(3) or found.group(2))
            assert last - first == n % 3, (n, found.group())
            uids.update({first + k: (k, n) for k in range(n % 3 + 1)})
        assert len(uids) == sum(n % 3 + 1 for n in range(len(many)) if n != 5)
        c.do("NOOP")
        told = {int(m.group(1)): (int(m.group(2)), int(m.group(3))) for m in c.do(
            "FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])").all(rb"UID (\d+) .*Subject: (\d+) of (\d+)")}
        assert {u: m for u, m in told.items() if m[1] != 11} == uids
        talk(c, ("STORE 1 +FLAGS (x y)", "OK"))  # the refused one has not used up the three keywords
        assert sorted(m for m in told.values() if m[1] == 11) in ([], [(0, 11), (1, 11), (2, 11)])
    assert not os.listdir(os.path.join(s.maildir(), "tmp"))


def test_large_append_and_fetch(t):
    s = server(t)
    body = b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 60000
    with client(s) as c:
        c.append("INBOX", body)
        c.do("SELECT INBOX")
        assert c.do("FETCH 1 BODY.PEEK[]").untagged[0].split(b"\r\n", 1)[1][:-1] == body
        assert c.do("FETCH 1 BODY.PEEK[]<4000000.100>").find(rb"BODY\[\]<4000000> \{100\}")


def test_a_move_in_slices(t):
    s = server(t)
    many(s, 1203, 300)
    with client(s, select="INBOX") as c:
        answer = c.do("UID MOVE 2:1202 Archive")
        assert answer.find(rb"^\* OK \[COPYUID \d+ 2:1202 1:1201\]"), answer.untagged[0]
        assert len(answer.all(rb"EXPUNGE$")) == 1201 and answer.untagged[0].startswith(b"* OK ")
        talk(c, ("UID SEARCH ALL", "OK", "SEARCH 1 1203$"), ("STATUS Archive (MESSAGES UIDNEXT)", "OK", "MESSAGES 1201 UIDNEXT 1202"),
             ("MOVE 1:2 Nowhere", "NO", r"\[TRYCREATE\]", "!COPYUID"))


def test_copy_and_move(t):
    s = server(t)
    with client(s) as c, client(s) as other:
        for n in range(4):
            c.append("INBOX", b"Subject: %d\r\n\r\n" % n, r'(\Seen k%d) "0%d-Jan-2001 00:00:00 +0000"' % (n, n + 1))
        other.do("SELECT Sent")
        talk(c, ("SELECT INBOX", "OK"), ("COPY 1,3 Sent", "OK", r"\[COPYUID \d+ 1,3 1:2\]"), ("COPY 9 Sent", "BAD"),
             ("UID COPY 9 Sent", "OK", "!COPYUID"),
             ("COPY 1 Nowhere", "NO", r"\[TRYCREATE\]"), ("UID COPY 4 INBOX", "OK", r"COPYUID \d+ 4 5"), ("NOOP", "OK"))
        talk(other, ("NOOP", "OK", r"^\* 2 EXISTS"),
             ("FETCH 2 (FLAGS INTERNALDATE BODY.PEEK[])", "OK", r"\\Seen", "k2", '" 3-Jan-2001 00:00:00', "Subject: 2"))
        answer = c.do("UID MOVE 1:2 Sent")
        lines = answer.untagged
        code = [n for n, line in enumerate(lines) if b"COPYUID" in line]
        gone = [n for n, line in enumerate(lines) if line.endswith(b"EXPUNGE")]
        assert len(code) == 1 and len(gone) == 2 and code[0] < gone[0], answer  # RFC 6851 4.3
        talk(c, ("MOVE 1 Nowhere", "NO", r"\[TRYCREATE\]"), ("MOVE 9 Sent", "BAD"),
             ("FETCH 1:* UID", "OK", "3", "!UID 1\\b"))
        talk(other, ("NOOP", "OK", r"^\* 4 EXISTS"))
        assert c.uids() == [3, 4, 5]
        # MOVE within one mailbox gives new UIDs
        talk(c, ("UID MOVE 3 INBOX", "OK", r"COPYUID \d+ 3 6"))
        assert c.uids() == [4, 5, 6]
        # object ids: a copy of a message has another EMAILID or the same (RFC 8474 4), a moved one keeps it
        first = c.do("UID FETCH 4 EMAILID").find(rb"EMAILID \((\S+)\)").group(1)
        uid = int(c.do("UID MOVE 4 Trash").find(rb"COPYUID \d+ 4 (\d+)").group(1))
        c.do("SELECT Trash")
        assert c.do("UID FETCH %d EMAILID" % uid).find(rb"EMAILID \((\S+)\)").group(1) == first


def test_replace(t):
    """RFC 8508."""
    s = server(t)
    with client(s) as c:
        for n in range(3):
            c.append("Drafts", b"Subject: draft %d\r\n\r\n" % n, r"(\Draft)")
        c.do("SELECT Drafts")
        new = b"Subject: better\r\n\r\n"
        answer = talk(c, (b"REPLACE 2 Drafts (\\Draft \\Seen) " + literal(new), "OK", r"APPENDUID \d+ 4\]",
                          r"^\* 2 EXPUNGE"))
        assert c.uids() == [1, 3, 4], answer
        talk(c, (b"UID REPLACE 1 Sent " + literal(new), "OK", r"APPENDUID \d+ 1\]", r"^\* 1 EXPUNGE"),
             (b"REPLACE 9 Drafts " + literal(new), None),
             (b"UID REPLACE 3 Nowhere " + literal(new), "NO", "TRYCREATE"),
             (b"REPLACE 1:2 Drafts " + literal(new), "BAD"), ("NOOP", "OK"),
             ("STATUS Sent (MESSAGES)", "OK", "MESSAGES 1"))
        assert c.uids() == [3, 4]
        talk(c, ("EXAMINE Drafts", "OK"), (b"REPLACE 1 Drafts " + literal(new), "NO"))


def test_two_sessions_and_a_storm(t):
    """A51: one fetches by number while another expunges: no number slips, nothing is told twice."""
    s = server(t)
    with client(s) as one, client(s) as two:
        for n in range(60):
            one.append("INBOX", b"Subject: s%d\r\n\r\n" % n)
        one.do("SELECT INBOX")
        two.do("SELECT INBOX")
        model = list(range(1, 61))
        for step in range(20):
            victims = two.uids()[::7][:2]
            two.do(r"UID STORE %s +FLAGS.SILENT (\Deleted)" % ",".join(map(str, victims)))
            tag = one.send("FETCH 1:%d (UID ENVELOPE)" % len(model))
            two.do("EXPUNGE")
            answer = one.wait(tag)
            for line in answer.untagged:
                seen = re.match(rb"\* (\d+) FETCH \(.*UID (\d+)", line)
                gone = re.match(rb"\* (\d+) EXPUNGE", line)
                assert not gone, answer
                if seen:
                    assert model[int(seen.group(1)) - 1] == int(seen.group(2)), (line, model)
                    subject = re.search(rb'"s(\d+)"', line)
                    assert not subject or int(subject.group(1)) + 1 == int(seen.group(2)), line
            for line in one.do("NOOP").untagged:
                gone = re.match(rb"\* (\d+) EXPUNGE", line)
                if gone:
                    del model[int(gone.group(1)) - 1]
        wait_until("the same view", lambda: [int(m.group(1)) for m in one.do("UID FETCH 1:* UID").all(rb"UID (\d+)")] == two.uids())


def test_delivered_while_selected(t):
    s = server(t)
    with client(s, select="INBOX") as c:
        s.send(message("news", "a preview of this text\r\n"))
        wait_until("the news", lambda: c.do("NOOP").find(rb"^\* 1 EXISTS"))
        talk(c, ("FETCH 1 (PREVIEW SAVEDATE EMAILID THREADID)", "OK", "a preview of this text"),
             ("SEARCH SAVEDSINCE 1-Jan-2020", "OK", "SEARCH 1"))
    assert s.mail(ANNA)


def test_limits_of_parts(t):
    """limits.mime_depth and mime_parts: what is deeper, or more, is one attachment, for BODYSTRUCTURE, BODY[] and SEARCH."""
    s = server(t, {"limits": {"mime_depth": 3, "mime_parts": 10}})
    deep = "".join("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(4))
    deep = "Subject: deep\r\nMIME-Version: 1.0\r\n" + deep + "\r\ninnermost\r\n" + "".join(
        "--b%d--\r\n" % n for n in (3, 2, 1, 0))
    wide = ("Subject: wide\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
            "".join("--b\r\n\r\npart %d\r\n" % n for n in range(30)) + "--b--\r\n")
    with client(s, select="INBOX") as c:
        c.append("INBOX", deep.encode())
        c.append("INBOX", wide.encode())
        talk(c, ("NOOP", "OK"), ("FETCH 1 BODYSTRUCTURE", "OK", r'BODYSTRUCTURE \(\(\("application" "octet-stream"'),
             ("FETCH 1 BODY.PEEK[1.1]", "OK", "innermost"), ("FETCH 1 BODY.PEEK[1.1.1]", "OK", r"\{0\}"),
             ("FETCH 2 BODY.PEEK[9]", "OK", "part 8\r\n--b\r\n.*part 29"), ("FETCH 2 BODY.PEEK[10]", "OK", r"\{0\}"))
        assert c.do("FETCH 2 BODYSTRUCTURE").untagged[0].count(b'"text" "plain"') == 9
        s.reload(limits={"mime_depth": 100, "mime_parts": 10000})
        c.do("FETCH 1 BODYSTRUCTURE")
    with client(s, select="INBOX") as c:  # what is kept stays; what comes is as the policy says now
        talk(c, ("FETCH 1 BODYSTRUCTURE", "OK", "octet-stream"))
        c.append("INBOX", deep.encode())
        talk(c, ("NOOP", "OK"), ("FETCH 3 BODYSTRUCTURE", "OK", "!octet-stream"),
             ("FETCH 3 BODY.PEEK[1.1.1.1]", "OK", "innermost"))
    s.run("mailbox", "rebuild", ANNA)
    with client(s, select="INBOX") as c:
        talk(c, ("FETCH 1 BODYSTRUCTURE", "OK", "!octet-stream"))
