"""SEARCH, SORT and THREAD: every key, every way to answer, with a full-text index and without."""
import re
import time

from imap import client, literal, server, talk
from lib import message, wait_until

MESSAGES = [  # (flags, INTERNALDATE, message)
    (r"(\Seen)", "01-Jan-2020 12:00:00 +0000",
     b"Date: Wed, 1 Jan 2020 10:00:00 +0000\r\nFrom: Anna Alpha <anna@example.org>\r\nTo: bert@example.org\r\nCc: cc@example.org\r\n"
     b"Subject: Invoice\r\nMessage-ID: <1@example.org>\r\n\r\nthe zebra crossed\r\n"),
    (r"(\Flagged \Answered work)", "02-Jan-2020 12:00:00 +0000",
     b"Date: Thu, 2 Jan 2020 10:00:00 +0000\r\nFrom: Bert Beta <bert@example.org>\r\nTo: anna@example.org\r\nBcc: hidden@example.org\r\n"
     b"Subject: Re: Invoice\r\nMessage-ID: <2@example.org>\r\nIn-Reply-To: <1@example.org>\r\nReferences: <1@example.org>\r\n"
     b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nviele Gr=FC=DFe, the zeb=\r\nra\r\n"),
    (r"(\Deleted)", "03-Jan-2020 12:00:00 +0000",
     b"Date: Fri, 3 Jan 2020 10:00:00 +0000\r\nFrom: =?utf-8?B?SsO8cmdlbg==?= <juergen@example.org>\r\nTo: anna@example.org\r\n"
     b"Subject: =?iso-8859-1?Q?Gr=FC=DFe?= aus =?utf-8?Q?M=C3=BCnchen?=\r\nMessage-ID: <3@example.org>\r\nX-Own: some value\r\n"
     b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
     b"ZWxlcGhhbnQgaW4gYmFzZTY0\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>giraffe</p>\r\n--b--\r\n"),
    (r"(\Draft $Junk)", "04-Jan-2020 12:00:00 +0000",
     b"Date: Sat, 4 Jan 2020 10:00:00 +0000\r\nFrom: anna@example.org\r\nTo: zoe@example.org\r\nSubject: apple\r\nMessage-ID: <4@example.org>\r\n"
     b"References: <1@example.org> <2@example.org>\r\n\r\n" + b"x" * 5000 + b"\r\n"),
    ("", None, b"From: zoe@example.org\r\nX-Empty:\r\nSubject: banana\r\nMessage-ID: <5@example.org>\r\n\r\nnew one, 100% \"quoted\" \\ back*slash\r\n"),
]
KEYS = [
    ("ALL", "1 2 3 4 5"), ("ANSWERED", "2"), ("UNANSWERED", "1 3 4 5"), ("DELETED", "3"), ("UNDELETED", "1 2 4 5"),
        ("DRAFT", "4"),
    ("UNDRAFT", "1 2 3 5"), ("FLAGGED", "2"), ("UNFLAGGED", "1 3 4 5"), ("SEEN", "1"), ("UNSEEN", "2 3 4 5"),
        ("KEYWORD work", "2"),
    ("KEYWORD WORK", "2"), ("UNKEYWORD work", "1 3 4 5"), ("KEYWORD $Junk", "4"), ("KEYWORD nowhere", ""),
        ("UNKEYWORD nowhere", "1 2 3 4 5"),
    ("RECENT", "1 2 3 4 5"), ("OLD", ""), ("NEW", "2 3 4 5"),
    ("BEFORE 2-Jan-2020", "1"), ("ON 2-Jan-2020", "2"), ("SINCE 2-Jan-2020", "2 3 4 5"),
        ('SINCE "02-Jan-2020"', "2 3 4 5"), ("SINCE 5-Jan-2020", "5"),
    ("SENTBEFORE 2-Jan-2020", "1"), ("SENTON 3-Jan-2020", "3"), ("SENTSINCE 3-Jan-2020 NOT 5", "3 4"),
    ("SAVEDBEFORE 1-Jan-2021", ""), ("SAVEDSINCE 1-Jan-2021", "1 2 3 4 5"), ("SAVEDATESUPPORTED", "1 2 3 4 5"),
    ("OLDER 86400", "1 2 3 4"), ("YOUNGER 86400", "5"), ("LARGER 4000", "4"), ("SMALLER 4000", "1 2 3 5"),
        ("LARGER 0", "1 2 3 4 5"),
    ("1:2", "1 2"), ("*", "5"), ("UID 2,4", "2 4"), ("UID 100:*", "5"), ("UID 100:200", ""), ("NOT 1:4", "5"),
        ("1:3 2:4", "2 3"),
    ("OR 1 2", "1 2"), ("OR (1 SEEN) (OR 4 5)", "1 4 5"), ("NOT (OR 1 2)", "3 4 5"), ("(1:2)", "1 2"),
        ("NOT NOT 1", "1"), ("UNSEEN FLAGGED", "2"),
    ("FROM anna", "1 4"), ("FROM Alpha", "1"), ("FROM ALPHA", "1"), ("TO anna@", "2 3"), ("CC cc@", "1"),
        ("BCC hidden", "2"), ("SUBJECT invoice", "1 2"),
    ("SUBJECT voic", "1 2"), ('SUBJECT ""', "1 2 3 4 5"), ("HEADER X-Own value", "3"), ("HEADER x-own VAL", "3"),
        ('HEADER X-Empty ""', "5"), ('HEADER X-Own ""', "3"),
    ("HEADER Message-ID <3@example.org>", "3"), ("HEADER Message-ID 4@", "4"), ("HEADER X-Nothing a", ""),
        ("BODY zebra", "1 2"), ("BODY EBR", "1 2"), ("BODY invoice", ""),
    ("TEXT invoice", "1 2"), ("TEXT zebra", "1 2"), ("BODY elephant", "3"), ("BODY giraffe", "3"),
        ("BODY nothing", ""), ("BODY xx", "4"),
    ('BODY "the zebra crossed"', "1"), ('BODY "100%"', "5"), ('BODY "back*slash"', "5"),
        (r'BODY "\"quoted\" \\ b"', "5"), ("MODSEQ 1", "1 2 3 4 5"), ("MODSEQ 9999999999999999", ""),
]
UTF8_KEYS = [("SUBJECT", "Gr\u00fc\u00dfe", "3"), ("SUBJECT", "gr\u00fc\u00dfe aus m\u00dcnchen", "3"),
             ("FROM", "J\u00fcrgen", "3"), ("BODY", "Gr\u00fc\u00dfe", "2"), ("TEXT", "gr\u00fc\u00dfe", "2 3"),
             ("BODY", "\u00fc", "2"), ("TEXT", "\u4e2d\u6587", "")]


def fill(c):
    for flags, date, text in MESSAGES:
        c.append("INBOX", text, " ".join(x for x in (flags, '"%s"' % date if date else "") if x))


def found(c, key, command="SEARCH "):
    answer = c.do(key if isinstance(key, bytes) else command + key)
    lines = answer.all(rb"^\* SEARCH ?([\d ]*?)(?: \(MODSEQ \d+\))?$")
    assert len(lines) == 1, (key, answer)
    return lines[0].group(1).decode()


def keys(t, config):
    s = server(t, config)
    with client(s) as c:
        fill(c)
        c.do("SELECT INBOX")
        for _ in range(2):  # at first the index is not ready, at last it is
            for key, want in KEYS:
                assert found(c, key) == want, (key, found(c, key), want)
            for key, text, want in UTF8_KEYS:
                assert found(c, b"SEARCH CHARSET UTF-8 %s %s" % (key.encode(), literal(text.encode()))) == want, (key,
                    text)
            assert found(c, "SUBJECT apple", "UID SEARCH CHARSET US-ASCII ") == "4"
            if config.get("imap"):
                break
            c.do("NOOP")
        talk(c, ("SEARCH " + "NOT " * 3000 + "ALL", "BAD"), ("SEARCH " + "(" * 5000 + "ALL" + ")" * 5000, "BAD"),
             ("SEARCH " + "OR 1 " * 3000 + "2", "BAD"),
             ("SEARCH " + " ".join(["ALL"] * 3000), None), ("SEARCH TEXT " + "a" * 60000, "OK", "SEARCH$"),
             ("SEARCH BODY \"%s\"" % ("a b " * 15000), "OK", "SEARCH$"))


def test_keys_with_an_index(t):
    keys(t, {})


def test_keys_without_an_index(t):
    keys(t, {"imap": {"search_index": False}})


def test_extended_answers(t):
    """RFC 4731, 5182, 9394."""
    s = server(t)
    with client(s) as c:
        fill(c)
        talk(c, ("SELECT INBOX", "OK"),
             ("SEARCH RETURN (MIN) 2:4", "OK", r'^\* ESEARCH \(TAG "a\d+"\) MIN 2$'),
             ("SEARCH RETURN (MAX) 2:4", "OK", r"\) MAX 4$"),
             ("SEARCH RETURN (COUNT) 2:4", "OK", r"\) COUNT 3$"), ("SEARCH RETURN (ALL) 2:4", "OK", r"\) ALL 2:4$"),
             ("SEARCH RETURN () 2:4", "OK", r"\) ALL 2:4$"),
             ("UID SEARCH RETURN (ALL COUNT) ANSWERED", "OK", r"\) UID (ALL 2 COUNT 1|COUNT 1 ALL 2)$"),
             ("SEARCH RETURN (MIN MAX COUNT ALL) KEYWORD none", "OK", r'^\* ESEARCH \(TAG "a\d+"\) COUNT 0$'),
             ("SEARCH RETURN (MIN MAX ALL) KEYWORD none", "OK", r'^\* ESEARCH \(TAG "a\d+"\)$'))
        # SEARCHRES
        talk(c, ("SEARCH RETURN (SAVE) 2:4", "OK", "!SEARCH [(\\d]"),
             ("FETCH $ UID", "OK", "2 FETCH", "4 FETCH", "!1 FETCH"), ("UID SEARCH UID $ ANSWERED", "OK", "SEARCH 2$"),
             ("SEARCH RETURN (SAVE MIN) 2:4", "OK", "MIN 2"), ("FETCH $ UID", "OK", "2 FETCH", "!3 FETCH"),
             ("SEARCH RETURN (SAVE MIN MAX) 2:4", "OK"), ("FETCH $ UID", "OK", "2 FETCH", "!3 FETCH", "4 FETCH"),
             ("SEARCH RETURN (SAVE COUNT) 2:4", "OK", "COUNT 3"), ("SEARCH $", "OK", "SEARCH 2 3 4"),
             ("STORE $ +FLAGS.SILENT (saved)", "OK"),
             ("SEARCH KEYWORD saved", "OK", "SEARCH 2 3 4"), ("SEARCH CHARSET KLINGON ALL", "NO", "BADCHARSET"),
             ("SEARCH CHARSET X-UNKNOWN ALL", "NO", "BADCHARSET"), ("SEARCH CHARSET unknown-8bit ALL", "NO", "BADCHARSET"),
             ("SEARCH $", "OK", "SEARCH 2 3 4"),
             ("SEARCH RETURN (SAVE) 1:2", "OK"), ("COPY $ Sent", "OK", "COPYUID \\d+ 1:2"),
             ("SEARCH RETURN (SAVE) NONSENSE", "BAD"),
             ("SEARCH RETURN (SAVE) 3", "OK"), ("UID MOVE $ Trash", "OK", "COPYUID \\d+ 3 "),
             ("FETCH $ UID", "OK", "!FETCH \\("), ("SELECT INBOX", "OK"), ("FETCH $ UID", "OK", "!FETCH \\("))
        # PARTIAL
        talk(c, ("UID SEARCH RETURN (PARTIAL 1:2) ALL", "OK", r"UID PARTIAL \(1:2 1:2\)"),
             ("UID SEARCH RETURN (PARTIAL 3:10 COUNT) ALL", "OK", r"PARTIAL \(3:10 4:5\)", "COUNT 4"),
             ("UID SEARCH RETURN (PARTIAL -1:-2) ALL", "OK", r"PARTIAL \(-1:-2 4:5\)"),
             ("UID SEARCH RETURN (PARTIAL 100:200) ALL", "OK", r"PARTIAL \(100:200 NIL\)"),
             ("UID SEARCH RETURN (PARTIAL 0:1) ALL", "BAD"), ("UID SEARCH RETURN (PARTIAL 1:-1) ALL", "BAD"),
             ("UID SEARCH RETURN (PARTIAL 1:2 ALL) ALL", "BAD"),
             ("UID SEARCH RETURN (SAVE PARTIAL 2:3) ALL", "OK", r"PARTIAL \(2:3 2,4\)"), ("SEARCH $", "OK", "SEARCH 2 3$"),
             ("UID SEARCH RETURN (SAVE PARTIAL 2:2 MAX) ALL", "OK", "MAX 5"), ("SEARCH $", "OK", "SEARCH 2 4$"),
             ("SEARCH RETURN (SAVE PARTIAL -2:-2 MIN MAX) ALL", "OK"), ("SEARCH $", "OK", "SEARCH 1 3 4$"),
             ("SEARCH RETURN (SAVE PARTIAL 2:2 COUNT) ALL", "OK", "COUNT 4"), ("SEARCH $", "OK", "SEARCH 1 2 3 4$"),
             ("SEARCH RETURN (SAVE PARTIAL 9:10) ALL", "OK", "9:10 NIL"), ("SEARCH $", "OK", "SEARCH$"),
             ("UID FETCH 1:* (UID FLAGS) (PARTIAL 1:2)", "OK", "UID 1", "UID 2", "!UID 4"),
             ("UID FETCH 1:* (UID) (PARTIAL -1:-1)", "OK", "UID 5", "!UID 4"))


def test_sort(t):
    s = server(t)
    with client(s) as c:
        fill(c)
        c.do("SELECT INBOX")
        for keys_, want in (("ARRIVAL", "1 2 3 4 5"), ("REVERSE ARRIVAL", "5 4 3 2 1"), ("DATE", "1 2 3 4 5"),
                            ("SIZE", None), ("REVERSE SIZE", None), ("SUBJECT", "4 5 3 1 2"),
                            ("REVERSE SUBJECT", "1 2 3 5 4"), ("FROM", "1 4 2 3 5"), ("TO", "5 2 3 1 4"),
                            ("CC", "2 3 4 5 1"), ("SUBJECT REVERSE DATE", "4 5 3 2 1"),
                            ("DISPLAYFROM", "1 4 2 3 5"), ("DISPLAYTO", None)):
            answer = c.do("SORT (%s) UTF-8 ALL" % keys_).untagged[0].decode()
            assert want is None and re.fullmatch(r"\* SORT( \d){5}", answer) or answer == "* SORT " + want, (keys_,
                answer)
        talk(c, ("UID SORT (SUBJECT) US-ASCII SEEN", "OK", r"^\* SORT 1$"),
             ("SORT (SUBJECT) UTF-8 KEYWORD none", "OK", r"^\* SORT$"),
             ("SORT (DATE) KLINGON ALL", "NO", r"\[BADCHARSET"))
        sizes = [int(m.group(1)) for m in c.do("FETCH 1:* RFC822.SIZE").all(rb"SIZE (\d+)")]
        order = [int(n) for n in c.do("SORT (SIZE) UTF-8 ALL").untagged[0].split()[2:]]
        assert order == sorted(range(1, 6), key=lambda n: (sizes[n - 1], n))


def test_thread(t):
    s = server(t)
    with client(s) as c:
        fill(c)
        talk(c, ("SELECT INBOX", "OK"), ("THREAD REFERENCES UTF-8 ALL", "OK", r"^\* THREAD \(1 2 4\)\(3\)\(5\)$"),
             ("UID THREAD REFERENCES UTF-8 2:5", "OK", r"^\* THREAD \(2 4\)\(3\)\(5\)$"),
             ("THREAD ORDEREDSUBJECT UTF-8 ALL", "OK", r"^\* THREAD \(1 2\)\(3\)\(4\)\(5\)$"),
             ("THREAD REFERENCES UTF-8 KEYWORD none", "OK", r"^\* THREAD$"),
             ("THREAD REFERENCES UTF-8 MODSEQ 1", "OK", r"^\* THREAD \(1 2 4\)\(3\)\(5\)$"),
             ("SORT (ARRIVAL) UTF-8 MODSEQ 1", "OK", r"^\* SORT 1 2 3 4 5 \(MODSEQ \d+\)$"),
             ("THREAD REFERENCES KLINGON ALL", "NO", "BADCHARSET"))
        c.do("SELECT Sent")
        for n in range(120):  # a long chain does not nest without end
            c.append("Sent", b"Message-ID: <c%d@x>\r\nReferences: %s\r\nSubject: s\r\n\r\n" % (n,
                b" ".join(b"<c%d@x>" % k for k in range(max(0, n - 20), n))))
        answer = c.do("THREAD REFERENCES UTF-8 ALL")
        assert sorted(int(n) for n in re.findall(rb"\d+", answer.untagged[-1])) == list(range(1, 121)), answer


def test_many_messages(t):
    """The words of a mailbox that grows are found at once, indexed or not, and what was expunged is not."""
    s = server(t)
    with client(s) as c:
        batch = 50
        for start in range(0, 400, batch):
            c.do(b"APPEND INBOX" + b"".join(b" " + literal(b"Subject: n%d\r\n\r\nword%dend common\r\n" % (n,
                n)) for n in range(start, start + batch)))
        c.do("SELECT INBOX")
        began = time.monotonic()
        for n in (0, 7, 123, 399):
            assert found(c, "BODY word%dend" % n) == str(n + 1)
        assert len(found(c, "TEXT common").split()) == 400
        talk(c, (r"STORE 8 +FLAGS.SILENT (\Deleted)", "OK"), ("EXPUNGE", "OK", "8 EXPUNGE"))
        assert found(c, "BODY word7end") == "" and found(c, "BODY word8end") == "8"
        wait_until("the index", lambda: found(c, "BODY word399end") == "399")
        assert time.monotonic() - began < 20


def test_forms_of_the_answer(t):
    """What lists numbers and what counts them, in one answer and in its order (RFC 4731, 5182, 9394)."""
    s = server(t)
    with client(s, select="INBOX") as c:
        for n in range(6):
            c.append("INBOX", message("m%d" % n), r"(\Seen)" if n in (1, 4) else "")
        assert c.do("SEARCH UNSEEN").untagged == [b"* SEARCH 1 3 4 6"]
        assert c.do("SEARCH RETURN (MIN MAX ALL COUNT) UNSEEN").find(rb"\) MIN 1 MAX 6 ALL 1,3:4,6 COUNT 4$")
        assert c.do("UID SEARCH RETURN (PARTIAL 2:3 COUNT) UNSEEN").find(rb"\) UID PARTIAL \(2:3 3:4\) COUNT 4$")
        assert c.do("SEARCH RETURN (PARTIAL 9:12) UNSEEN").find(rb"PARTIAL \(9:12 NIL\)$")
        assert not c.do("SEARCH RETURN (SAVE) SEEN").untagged
        assert len(c.do("FETCH $ UID").untagged) == 2
        assert c.do("SEARCH RETURN (SAVE ALL) UNSEEN").find(rb"ALL 1,3:4,6$") and len(c.do("FETCH $ UID").untagged) == 4
        assert c.do("SEARCH RETURN (ALL) SUBJECT nothing").find(rb"^\* ESEARCH \(TAG \"a\d+\"\)$")


def test_saved_result_after_a_refusal(t):
    """RFC 5182 section 2.1: NO leaves "$" empty, BAD as it was."""
    s = server(t)
    with client(s, select="INBOX") as c:
        c.append("INBOX", message("m"))
        talk(c, ("NOOP", "OK"), ("SEARCH RETURN (SAVE) ALL", "OK"), ("FETCH $ UID", "OK", "FETCH"),
             ("SEARCH RETURN (SAVE) NONSENSE", "BAD"), ("FETCH $ UID", "OK", "FETCH"),
             ("SEARCH CHARSET KLINGON ALL", "NO"), ("FETCH $ UID", "OK", "FETCH"),
             ("SEARCH RETURN (SAVE) CHARSET KLINGON ALL", "NO", r"BADCHARSET"), ("FETCH $ UID", "OK", r"!FETCH \("))


def test_charsets(t):
    """Those that BADCHARSET names can be used, and text in another one is found (RFC 9051 section 6.4.4)."""
    s = server(t)
    with client(s, select="INBOX") as c:
        c.append("INBOX", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n\u20ac 5, \u0434\u0430\r\n".encode())
        refused = c.do("SEARCH CHARSET KLINGON ALL", "NO").final
        names = re.search(rb"\[BADCHARSET \(([^)]*)\)\] ", refused).group(1).decode().split()
        assert len(names) > 10
        for name in names:
            assert c.do("SEARCH CHARSET %s TEXT a" % name)
        for name, text in (("ISO-8859-1", "gr\u00fc\u00df"), ("windows-1252", "\u20ac"), ("windows-1251", "\u0414\u0410"),
                           ("iso-8859-15", "\u20ac 5"), ("KOI8-R", "\u0434"), ("UTF-8", "\u0434")):
            key = b"SEARCH CHARSET %s TEXT %s" % (name.encode(), literal(text.encode(name)))
            assert c.do(key).untagged == [b"* SEARCH 1"], name
        assert c.do(b"SEARCH CHARSET ISO-8859-1 TEXT " + literal(b"\xe4")).untagged == [b"* SEARCH"]


def test_folded_fields(t):
    """White space is found as ENVELOPE shows it, whatever a field was folded with; a body's is as it is."""
    s = server(t)
    with client(s, select="INBOX") as c:
        c.append("INBOX", b"Subject: hello\r\n\tfolded   world\r\nX-Own: =?utf-8?q?one?=\r\n\t=?utf-8?q?_two?=\r\n \tthree\r\n\r\n"
                          b"body\r\n\tof  it\r\n")
        assert c.do("FETCH 1 ENVELOPE").find(rb'"hello folded world"')
        for _ in range(2):
            for key, want in (('SUBJECT "hello folded world"', "1"), ('SUBJECT "folded   world"', "1"),
                              ('SUBJECT "hello\tfolded"', "1"), ('TEXT "hello folded"', "1"), ('SUBJECT "hellofolded"', ""),
                              ('TEXT "folded   world"', "1"), ('TEXT "of  it"', "1"), ('TEXT "of it"', ""),
                              ('HEADER X-Own "one two three"', "1"), ('SUBJECT " "', "1"), ('BODY "of  it"', "1"),
                              ('BODY "of it"', "")):
                assert found(c, key) == want, (key, found(c, key))
            wait_until("the index", lambda: found(c, 'BODY "of  it"') == "1")


def test_sent_as_it_is_written(t):
    """SENTON and its like go by the date in the Date field, whatever its time and zone (RFC 9051 section 6.4.4)."""
    s = server(t)
    with client(s, select="INBOX") as c:
        for date in ("Sun, 31 Dec 2023 23:30:00 -0800", "Mon, 1 Jan 2024 00:30:00 +1300", "Mon, 1 Jan 2024 12:00:00 +0000",
                     "Tue, 2 Jan 2024 00:10:00 +0200"):
            c.append("INBOX", b"Date: %s\r\nSubject: x\r\n\r\n" % date.encode())
        c.append("INBOX", b"Subject: no date\r\n\r\n", '"01-Jan-2024 10:00:00 +0000"')
        for key, want in (("SENTON 31-Dec-2023", "1"), ("SENTON 1-Jan-2024", "2 3 5"), ("SENTBEFORE 1-Jan-2024", "1"),
                          ("SENTSINCE 1-Jan-2024", "2 3 4 5"), ("SENTSINCE 2-Jan-2024", "4"),
                          ("NOT SENTSINCE 2-Jan-2024", "1 2 3 5")):
            assert found(c, key) == want, (key, found(c, key))
