"""What a client stays in sync by: CONDSTORE and QRESYNC (RFC 7162), IDLE (RFC 2177), IMAP4rev2."""
import os
import re
import time

from imap import client, literal, server, talk
from lib import message, wait_until
from test_imap_fetch import many


def modseq(c, uid=1):
    return int(c.do("UID FETCH %d (MODSEQ)" % uid).find(rb"MODSEQ \((\d+)\)").group(1))


def highest(answer):
    return int(answer.find(rb"HIGHESTMODSEQ (\d+)").group(1))


def three(c, count=3):
    for n in range(count):
        c.append("INBOX", b"Subject: %d\r\n\r\n" % n)


def test_condstore(t):
    s = server(t)
    with client(s) as c, client(s) as other:
        three(c)
        start = highest(c.do("SELECT INBOX (CONDSTORE)"))
        other.do("SELECT INBOX")
        answer = other.do(r"STORE 2 +FLAGS (\Flagged)")
        assert not answer.find(rb"MODSEQ"), answer  # it did not ask for CONDSTORE
        answer = c.do("NOOP")
        now = int(answer.find(rb"2 FETCH \(.*MODSEQ \((\d+)\)").group(1))
        assert now > start
        talk(c, ("FETCH 1:* (FLAGS) (CHANGEDSINCE %d)" % start, "OK", r"2 FETCH .*MODSEQ \(%d\)" % now, r"!1 FETCH",
                 "!3 FETCH"),
             ("FETCH 1:* (FLAGS) (CHANGEDSINCE %d)" % now, "OK", "!FETCH \\("),
             ("SEARCH MODSEQ %d" % now, "OK", r"^\* SEARCH 2 \(MODSEQ %d\)$" % now),
             ('SEARCH MODSEQ "/flags/\\\\flagged" all %d' % now, "OK", r"^\* SEARCH 2 \(MODSEQ"),
             ("SEARCH MODSEQ %d" % (now + 1), "OK", "SEARCH$"),
             ("SEARCH RETURN (ALL) MODSEQ %d" % now, "OK", r"ALL 2 MODSEQ %d" % now),
             (r"STORE 1:3 (UNCHANGEDSINCE %d) +FLAGS.SILENT (\Seen)" % start, "OK", r"\[MODIFIED 2\]",
              r"^\* 1 FETCH .*MODSEQ", r"^\* 3 FETCH .*MODSEQ"),
             (r"UID STORE 2 (UNCHANGEDSINCE %d) +FLAGS (\Seen)" % start, "OK", r"\[MODIFIED 2\]"),
             ("FETCH 2 FLAGS", "OK", r"!\\Seen"),
             (r"STORE 2 (UNCHANGEDSINCE 0) +FLAGS (\Seen)", "OK", r"\[MODIFIED 2\]"),
             (r"STORE 2 (UNCHANGEDSINCE %d) +FLAGS (\Seen)" % now, "OK",
              r"2 FETCH .*\\Seen.*MODSEQ|2 FETCH .*MODSEQ.*\\Seen", "!MODIFIED"),
             ("STATUS INBOX (HIGHESTMODSEQ)", "OK", r"HIGHESTMODSEQ \d+"),
             ("FETCH 1 (FLAGS) (CHANGEDSINCE 0)", "OK", "1 FETCH"), ("FETCH 1 FLAGS (CHANGEDSINCE x)", "BAD"),
             ("FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)", "BAD"),
             ("UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)", "BAD"))  # without QRESYNC
        before = modseq(c)
        talk(c, (r"STORE 1 +FLAGS (\Seen)", "OK"))
        assert modseq(c) == before, "nothing changed"
        answer = c.do(r"STORE 3 +FLAGS.SILENT (\Deleted)")
        assert answer.find(rb"3 FETCH \(.*MODSEQ \(\d+\)"), answer  # RFC 7162 3.1.3: also with .SILENT
        c.do("EXPUNGE")
    with client(s) as c:  # RFC 7162 3.1.2: what turns it on is answered with where the mailbox is, once
        talk(c, ("SELECT INBOX", "OK"), ("FETCH 1 (MODSEQ)", "OK", r"^\* OK \[HIGHESTMODSEQ \d+\]"),
             ("FETCH 1 (MODSEQ)", "OK", "!HIGHESTMODSEQ"))
    with client(s) as c:
        talk(c, ("ENABLE CONDSTORE", "OK", r"^\* ENABLED CONDSTORE$"),
             ("ENABLE CONDSTORE NONSENSE", "OK", r"^\* ENABLED$"), ("SELECT INBOX", "OK", r"HIGHESTMODSEQ"),
             (r"STORE 1 +FLAGS (\Answered)", "OK", "MODSEQ"))


def test_qresync(t):
    s = server(t)
    with client(s) as c, client(s) as other:
        three(c, 10)
        talk(c, ("SELECT INBOX (QRESYNC (1 1))", "BAD"), ("ENABLE QRESYNC", "OK", r"^\* ENABLED QRESYNC"))
        answer = c.do("SELECT INBOX")
        start, validity = highest(answer), int(answer.find(rb"UIDVALIDITY (\d+)").group(1))
        other.do("SELECT INBOX")
        talk(other, (r"STORE 2,5:6 +FLAGS.SILENT (\Deleted)", "OK"), ("EXPUNGE", "OK", r"^\* \d EXPUNGE", "!VANISHED"),
             (r"UID STORE 8 +FLAGS (\Flagged)", "OK"))
        talk(c, ("NOOP", "OK", r"^\* VANISHED 2,5:6$", "!EXPUNGE$",
                 r"^\* 5 FETCH \(.*UID 8.*\\Flagged|^\* 5 FETCH \(.*\\Flagged.*UID 8"))
        talk(c, ("UNSELECT", "OK"), ("SELECT INBOX (QRESYNC (%d %d))" % (validity, start), "OK",
                                     r"^\* VANISHED \(EARLIER\) 2,5:6$", r"^\* 5 FETCH \(.*UID 8", "!UID 1\\b"),
             ("UNSELECT", "OK"), ("SELECT INBOX (QRESYNC (%d %d 1:4))" % (validity, start), "OK",
                                  r"^\* VANISHED \(EARLIER\) 2$", "!FETCH \\("), ("UNSELECT", "OK"),
             ("SELECT INBOX (QRESYNC (%d %d 1:10 (1,3,7 1,4,10)))" % (validity, start), "OK",
              r"VANISHED \(EARLIER\) (2,)?5:6"), ("UNSELECT", "OK"),
             ("SELECT INBOX (QRESYNC (%d %d))" % (validity + 1, start), "OK", "!VANISHED", "!FETCH \\("),
             ("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)" % start, "OK",
                                                                                                             r"VANISHED \(EARLIER\) 2,5:6", r"UID 8"),
             ("UID FETCH 1:4 (FLAGS) (CHANGEDSINCE %d VANISHED)" % start, "OK", r"VANISHED \(EARLIER\) 2$"),
             (r"UID STORE 1 +FLAGS.SILENT (\Deleted)", "OK", "MODSEQ"),
             ("UID EXPUNGE 1", "OK", r"^\* VANISHED 1$", r"HIGHESTMODSEQ \d+"),
             ("UID MOVE 3 Trash", "OK", r"^\* VANISHED 3$", "HIGHESTMODSEQ|OK"),
             (r"UID STORE 4 +FLAGS.SILENT (\Deleted)", "OK"), ("CLOSE", "OK"),
             ("SELECT INBOX (QRESYNC (%d %d))" % (validity, start), "OK", r"VANISHED \(EARLIER\) 1:6$"),
             ("SELECT Sent", "OK", r"^\* OK \[CLOSED\]"), ("SELECT INBOX (QRESYNC (0 1))", "BAD"),
             ("SELECT INBOX (QRESYNC (1))", "BAD"), ("SELECT INBOX (QRESYNC 1 1)", "BAD"))
        now = highest(c.do("SELECT INBOX"))
    s.restart()  # what has gone is remembered, also by name of a file that another program removed
    cur = os.path.join(s.maildir(), "cur")
    for name in os.listdir(cur):
        if ",U=7:" in name or name.split(":2")[0].endswith(",U=7"):
            os.unlink(os.path.join(cur, name))
    with client(s) as c:
        talk(c, ("ENABLE QRESYNC", "OK"),
             ("SELECT INBOX (QRESYNC (%d %d))" % (validity, start), "OK", r"VANISHED \(EARLIER\) 1:[67]"),
             ("NOOP", "OK"), ("SELECT INBOX (QRESYNC (%d %d))" % (validity, now), "OK", r"VANISHED \(EARLIER\) 7$"))


def test_a_file_that_is_written_where_it_lies(t):
    """By cp or tar, slowly: clients see it when it is complete, without asking, and never a part of it."""
    s = server(t)
    with client(s, select="INBOX") as c:
        tag = c.send("IDLE")
        assert c.line().startswith(b"+")
        with open(os.path.join(s.maildir(), "cur", "1700000000.M1P1.elsewhere:2,S"), "w", encoding="ascii") as out:
            os.fchmod(out.fileno(), 0o666)
            for n in range(4):
                out.write("Subject: slow\n\n" if n == 0 else "line\n")
                out.flush()
                time.sleep(0.7)
        assert c.line() == b"* 1 EXISTS"
        c.raw(b"DONE\r\n")
        assert c.wait(tag).status == "OK"
        talk(c, ("FETCH 1 (RFC822.SIZE BODY.PEEK[TEXT])", "OK", r"RFC822.SIZE 35 BODY\[TEXT\] \{18\}"))


def test_a_file_that_may_not_be_read(t):
    """A restore by another user: its neighbours are served, and the log names the file, once."""
    s = server(t)
    cur = os.path.join(s.maildir(), "cur")
    with client(s, select="INBOX") as c:
        s.send(message("first"))
        wait_until("the first", lambda: c.do("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 1"), 10)
        path = os.path.join(cur, "1700000000.M1P1.elsewhere:2,S")
        with open(path, "w", encoding="ascii") as out:
            out.write("Subject: mine\n\n")
            os.fchmod(out.fileno(), 0)
        s.wait_log("event=message-left-out user=anna@example.org reason=\"cur/1700000000.M1P1.elsewhere:2,S in INBOX: ")
        talk(c, ("NOOP", "OK"), ("SELECT INBOX", "OK", "1 EXISTS"), ("STATUS INBOX (MESSAGES)", "OK", "MESSAGES 1"))
        s.send(message("second"))
        wait_until("the second", lambda: c.do("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 2"), 10)
        os.chmod(path, 0o644)
        os.rename(path, path + "T")
        wait_until("what may be read now", lambda: c.do("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 3"), 10)
        named = lambda: [n for n in os.listdir(cur) if n.startswith("1700000000.M1P1") and ",U=" in n]
        wait_until("its name", named, 10)
        os.chmod(os.path.join(cur, named()[0]), 0)  # now it is one of the mailbox's
        wait_until("a refusal", lambda: c.do("UID FETCH 1:* BODY.PEEK[]", None).status == "NO", 10)
        s.wait_log("event=mailbox-failed .*reason=\"open message \\d+ in INBOX of anna@example.org: ")
    assert s.log().count("event=message-left-out") < 10, s.log()


def test_idle(t):
    s = server(t, {"limits": {"errors": 100}})
    with client(s, select="INBOX") as c, client(s) as other:
        def idling(c):
            tag = c.send("IDLE")
            assert c.line().startswith(b"+")
            return tag

        def until(c, pattern):
            seen = []
            while not seen or not re.search(pattern, seen[-1]):
                seen.append(c.line())
            return seen

        tag = idling(c)
        other.append("INBOX", b"Subject: 1\r\n\r\n")
        until(c, rb"^\* 1 EXISTS")
        other.do("SELECT INBOX")
        other.do(r"STORE 1 +FLAGS (\Flagged own)")
        until(c, rb"^\* 1 FETCH \(.*\\Flagged")
        s.send(message("delivered"))
        until(c, rb"^\* 2 EXISTS")
        other.do(r"STORE 1 +FLAGS.SILENT (\Deleted)")
        other.do("EXPUNGE")
        until(c, rb"^\* 1 EXPUNGE")
        with open(os.path.join(s.maildir(), "new", "1700000000.M1P1.elsewhere"), "w", encoding="ascii") as out:
            out.write("Subject: dropped in\n\nx\n")
        os.chmod(out.name, 0o666)
        until(c, rb"^\* 2 EXISTS")
        c.raw(b"DONE\r\n")
        assert c.wait(tag).status == "OK"
        for junk in (b"NOOP\r\n", b"done now\r\n", b"\r\n", b"x" * 1000 + b"\r\n"):
            tag = idling(c)
            c.raw(junk)
            answer = c.wait(tag)
            assert answer.status == "BAD", (junk, answer)
            talk(c, ("NOOP", "OK"))
        tag = idling(c)
        c.raw(b"done\r\n")
        assert c.wait(tag).status == "OK"
        c.raw(b"p1 IDLE\r\nDONE\r\np2 NOOP\r\n")  # pipelined
        assert c.wait(b"p1").status == "OK" and c.wait(b"p2").status == "OK"
    with client(s) as c:  # with no mailbox selected
        tag = c.send("IDLE")
        assert c.line().startswith(b"+")
        c.raw(b"DONE\r\n")
        assert c.wait(tag).status == "OK"


def test_idle_keepalive_and_tls(t):
    s = server(t, {"imap": {"keepalive": "200ms"}})
    with client(s, tls="implicit", select="INBOX") as c:
        tag = c.send("IDLE")
        assert c.line().startswith(b"+")
        assert c.line().startswith(b"* OK"), "it says that it is still there"
        s.send(message("over TLS"))
        while not re.match(rb"\* 1 EXISTS", c.line()):
            pass
        c.raw(b"DONE\r\n")
        c.wait(tag)


def test_many_idle(t):
    s = server(t)
    clients = [client(s, select="INBOX") for n in range(40)]
    tags = []
    for c in clients:
        tags.append(c.send("IDLE"))
        assert c.line().startswith(b"+")
    s.send(message("to all"))
    for c, tag in zip(clients, tags):
        while c.line() != b"* 1 EXISTS":
            pass
        c.raw(b"DONE\r\n")
        c.wait(tag)
        c.close()


def test_more_news_than_output_holds(t):
    """Some MiB of FETCH answers: in pieces, not the end of the connection."""
    s = server(t, {"limits": {"errors": 100}})
    count, words = 1300, " ".join("k%02d" % n + "x" * 200 for n in range(20))
    with client(s) as c, client(s) as idle, client(s) as other:
        c.do(b"APPEND INBOX " + b" ".join(literal(b"Subject: %d\r\n\r\n" % n) for n in range(count // 2)))
        c.do(b"APPEND INBOX " + b" ".join(literal(b"Subject: %d\r\n\r\n" % n) for n in range(count // 2)))
        opened = c.do("SELECT INBOX")
        idle.do("SELECT INBOX")
        idling = idle.send("IDLE")
        other.do("SELECT INBOX")
        other.do(r"STORE 1:* +FLAGS.SILENT (%s)" % words)
        assert len(c.do("NOOP").all(rb"^\* \d+ FETCH \(FLAGS \(.*k19x")) == count
        idle.raw(b"DONE\r\n")
        assert len(idle.wait(idling).all(rb"^\* \d+ FETCH \(FLAGS \(.*k19x")) >= count
        validity = int(opened.find(rb"UIDVALIDITY (\d+)").group(1))
        talk(other, ("CLOSE", "OK"), ("ENABLE QRESYNC", "OK"))
        answer = other.do("SELECT INBOX (QRESYNC (%d %d))" % (validity, highest(opened)))
        assert len(answer.all(rb"^\* \d+ FETCH \(UID \d+ MODSEQ .*k19x")) == count
        other.do("NOOP")


def test_many_go_at_once(t):
    """EXPUNGEs and VANISHED that are told in parts are those that are told at once, also to one that does not read."""
    s = server(t, start=False)
    count = 16600
    many(s, count, 200)
    s.start()
    with client(s) as q, client(s) as idle, client(s, select="INBOX") as c, client(s, select="INBOX") as other:
        q.do("ENABLE QRESYNC")
        idle.do("SELECT INBOX")
        q.do("SELECT INBOX")
        odd = [n for n in range(1, count + 1) if n % 2]
        for at in range(0, len(odd), 2000):
            other.do(r"UID STORE %s +FLAGS.SILENT (\Deleted)" % ",".join(map(str, odd[at:at + 2000])))
        idling = idle.send("IDLE")
        tags = [(x, x.send("NOOP")) for x in (c, q)]
        for x, tag in tags:
            x.wait(tag)
        other.do("EXPUNGE")
        left = list(range(1, count + 1))
        for line in c.do("NOOP").untagged:
            left.pop(int(re.match(rb"\* (\d+) EXPUNGE$", line).group(1)) - 1)
        assert left == c.uids() == [n for n in range(1, count + 1) if n % 2 == 0]
        gone = q.do("NOOP").all(rb"^\* VANISHED ([\d,]+)$")
        assert [int(n) for m in gone for n in m.group(1).split(b",")] == odd
        idle.raw(b"DONE\r\n")
        assert len(idle.wait(idling).all(rb"^\* \d+ EXPUNGE$")) == len(odd)
        assert len(q.do("FETCH 1:* UID").untagged) == len(left)


def test_rev2(t):
    """RFC 9051: what changes when a client says that it speaks it."""
    s = server(t)
    with client(s) as c:
        three(c)
        talk(c, ("ENABLE IMAP4rev2", "OK", r"^\* ENABLED IMAP4rev2"),
             ("SELECT INBOX", "OK", r'^\* LIST \(.*\) "/" "?INBOX"?', r"!^\* \d+ RECENT", r"!\[UNSEEN"),
             ("SEARCH ALL", "OK", r'^\* ESEARCH \(TAG "a\d+"\) ALL 1:3$'),
             ("UID SEARCH SEEN", "OK", r'^\* ESEARCH \(TAG "a\d+"\) UID$'), ("FETCH 1 FLAGS", "OK", r"!\\Recent"),
             ("SELECT Sent", "OK", r"^\* OK \[CLOSED\]"), ("STATUS INBOX (MESSAGES DELETED SIZE)", "OK", "DELETED 0"),
             ("FETCH 1 RFC822", None), ("SELECT INBOX", "OK"))
        with client(s, select="INBOX") as other:
            other.do(r"STORE 2 FLAGS.SILENT (\Flagged)")
        talk(c, ("NOOP", "OK", r"^\* 2 FETCH \(UID 2 FLAGS"))


def test_enable_changes_nothing_unasked(t):
    s = server(t)
    with client(s) as c:
        three(c, 1)
        talk(c, ("SELECT INBOX", "OK", r"^\* 1 RECENT", r"\[UNSEEN 1\]"), ("SEARCH ALL", "OK", r"^\* SEARCH 1$"),
             (r"STORE 1 +FLAGS (\Seen)", "OK", "!MODSEQ"), ("EXPUNGE", "OK", "!HIGHESTMODSEQ"))


def test_resync_after_another_programs_changes(t):
    s = server(t)
    with client(s) as c:
        three(c)
        talk(c, ("ENABLE QRESYNC", "OK"))
        answer = c.do("SELECT INBOX")
        start, validity = highest(answer), int(answer.find(rb"UIDVALIDITY (\d+)").group(1))
        cur = os.path.join(s.maildir(), "cur")
        by_uid = {int(re.search(r",U=(\d+)", name).group(1)): name for name in os.listdir(cur)}
        os.unlink(os.path.join(cur, by_uid[2]))
        os.rename(os.path.join(cur, by_uid[3]), os.path.join(cur, by_uid[3].split(":2,")[0] + ":2,S"))
        wait_until("the changes", lambda: c.do("NOOP").find(rb"VANISHED 2"))
        talk(c, ("SELECT INBOX (QRESYNC (%d %d))" % (validity, start), "OK", r"VANISHED \(EARLIER\) 2$",
                 r"FETCH \(.*UID 3"))
