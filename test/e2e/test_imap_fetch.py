"""FETCH: what it marks, what it leaves out, what it tells of changes, and messages of every size."""
import os
import poplib
import re
import time

from imap import client, server, talk
from lib import ANNA, HOST, PASSWORDS, give, message, sanitized, wait_until


def uid_of(m):
    return int(m.group(1))


def fill(c, count, mailbox="INBOX"):
    for n in range(count):
        c.append(mailbox, message("m%d" % n))


def test_sections_mark_as_seen(t):
    s = server(t)
    with client(s, select="INBOX") as c, client(s, select="INBOX") as other:
        fill(c, 4)
        other.do("NOOP")
        talk(c, ("NOOP", "OK"),
             ("FETCH 1 (BODY.PEEK[] RFC822.HEADER BINARY.SIZE[1] RFC822.SIZE)", "OK", r"!Seen"),
             ("FETCH 1 BODY[HEADER]", "OK", r"^\* 1 FETCH \(BODY\[HEADER\] .*FLAGS \(\\Seen", "!MODSEQ"),
             ("FETCH 1 BODY[HEADER]", "OK", r"!Seen"),  # it has been told
             ("FETCH 2 (FLAGS BODY[]<0.5>)", "OK", r"^\* 2 FETCH \(FLAGS \(\\Seen.*BODY\[\]<0> \{5\}\r\n"),
             ("FETCH 3 (BINARY[1])", "OK", r"BINARY\[1\] ~\{\d+\}\r\n.*\\Seen"),
             ("FETCH 4 RFC822.TEXT", "OK", r"\\Seen"),
             ("STORE 1:* -FLAGS.SILENT (\\Seen)", "OK"),
             ("UID FETCH 1 (MODSEQ)", "OK", r"MODSEQ \(\d+\)"),  # from now on the client wants MODSEQ
             ("FETCH 1 BODY[TEXT]", "OK", r"FLAGS \(\\Seen[^)]*\) MODSEQ \(\d+\)\)$"))
        assert other.do("NOOP").find(rb"^\* 1 FETCH .*\\Seen")
        talk(other, ("EXAMINE INBOX", "OK"), ("FETCH 2 BODY[]", "OK", "!Seen"), ("FETCH 2 FLAGS", "OK", "!Seen"))


def test_changed_since_and_vanished(t):
    s = server(t)
    with client(s) as c:
        c.do("ENABLE QRESYNC")
        fill(c, 10)
        answer = c.do("SELECT INBOX (CONDSTORE)")
        since = int(answer.find(rb"HIGHESTMODSEQ (\d+)").group(1))
        c.do(r"STORE 3,5 +FLAGS.SILENT (\Deleted)")
        c.do(r"STORE 7 +FLAGS.SILENT (\Flagged)")
        answer = c.do("FETCH 1:* (FLAGS) (CHANGEDSINCE %d)" % since)
        assert [m.group(1) for m in answer.all(rb"^\* (\d+) FETCH .*MODSEQ \(\d+\)")] == [b"3", b"5", b"7"], answer
        c.do("EXPUNGE")
        answer = c.do("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)" % since)
        assert answer.untagged[0] == b"* VANISHED (EARLIER) 3,5", answer
        assert [m.group(1) for m in answer.all(rb"UID (\d+)")] == [b"7"], answer
        answer = c.do("UID FETCH 4:6 (FLAGS) (CHANGEDSINCE %d VANISHED)" % since)
        assert answer.untagged == [b"* VANISHED (EARLIER) 5"], answer
        assert not c.do("UID FETCH 1:2 (FLAGS) (CHANGEDSINCE %d VANISHED)" % since).untagged


def test_partial_results(t):
    s = server(t)
    with client(s, select="INBOX") as c:
        fill(c, 9)
        for part, want in (("1:3", [1, 2, 3]), ("3:1", [1, 2, 3]), ("8:20", [8, 9]), ("10:20", []), ("-1:-2", [8, 9]),
                           ("-3:-3", [7]), ("-100:-8", [1, 2]), ("1:1", [1])):
            answer = c.do("UID FETCH 1:* (UID) (PARTIAL %s)" % part)
            assert [uid_of(m) for m in answer.all(rb"UID (\d+)")] == want, (part, answer)
        answer = c.do("UID FETCH 2:3,5:7 (UID ENVELOPE) (PARTIAL 2:4)")
        assert [uid_of(m) for m in answer.all(rb"UID (\d+)")] == [3, 5, 6], answer


def test_expunged_by_another(t):
    s = server(t)
    with client(s, select="INBOX") as c, client(s, select="INBOX") as other:
        fill(c, 5)
        other.do("NOOP")
        c.do(r"STORE 2,4 +FLAGS.SILENT (\Deleted)")
        c.do("EXPUNGE")
        for items in ("UID", "ENVELOPE", "BODY.PEEK[]", "(UID FLAGS ENVELOPE BODY.PEEK[HEADER])"):
            answer = other.do("FETCH 1:* %s" % items, "NO")
            assert b"EXPUNGEISSUED" in answer.final, answer
            assert [m.group(1) for m in answer.all(rb"^\* (\d+) FETCH")] == [b"1", b"3", b"5"], answer
        answer = other.do("UID FETCH 1:* FLAGS")
        assert b"OK [EXPUNGEISSUED]" in answer.final, answer
        assert [uid_of(m) for m in answer.all(rb"UID (\d+)")] == [1, 3, 5], answer
        # after a command with UIDs numbers may change
        assert len(answer.all(rb"^\* \d EXPUNGE") + other.do("NOOP").all(rb"^\* \d EXPUNGE")) == 2
        talk(other, ("FETCH 4 UID", "BAD"), ("UID FETCH 99 FLAGS", "OK", "!FETCH \\("), ("FETCH 1:3 UID", "OK"))


def test_a_file_that_goes_while_it_is_asked_for(t):
    s = server(t)
    with client(s, select="INBOX") as c:
        fill(c, 3)
        cur = os.path.join(s.maildir(), "cur")
        for name in os.listdir(cur):
            if ",U=2:" in name:
                os.unlink(os.path.join(cur, name))
        answer = c.do("FETCH 1:3 (UID BODY.PEEK[])", None)
        assert [uid_of(m) for m in answer.all(rb"UID (\d+)")] == [1, 3], answer
        assert answer.status == "NO" and b"EXPUNGEISSUED" in answer.final, answer.final
        last = len(c.uids())
        for name in os.listdir(cur):
            if ",U=3:" in name:
                os.unlink(os.path.join(cur, name))
        answer = c.do("COPY %d Sent" % last, "NO")
        assert b"EXPUNGEISSUED" in answer.final, answer.final
        for name in os.listdir(cur):
            if ",U=1:" in name:
                os.unlink(os.path.join(cur, name))
        answer = c.do("UID COPY 1 Sent")  # what is not there is ignored, but not silently
        assert b"OK [EXPUNGEISSUED]" in answer.final, answer.final


def test_every_size(t):
    """Sizes around those of buffers come as they are, in one command and in pieces."""
    s = server(t, {"limits": {"message_size": "64 MiB"}})
    sizes = [2, 4096, 65535, 65536, 65537, 262143, 262144, 262145, 1000000, 20000000]
    with client(s, select="INBOX") as c:
        bodies = []
        for n in sizes:
            line = b"%060d\r\n" % n
            body = (b"Subject: x\r\n\r\n" + line * (n // len(line) + 1))[:n - 2].rstrip(b"\r")
            body += b"x" * (n - 2 - len(body)) + b"\r\n"
            bodies.append(body)
            c.append("INBOX", body)
        answer = c.do("FETCH 1:* (BODY.PEEK[] RFC822.SIZE)")
        found = answer.all(rb"^\* \d+ FETCH \(BODY\[\] \{\d+\}\r\n(.*) RFC822.SIZE (\d+)\)$")
        assert len(found) == len(sizes)
        for body, m in zip(bodies, found):
            assert m.group(1) == body and int(m.group(2)) == len(body), (len(body), len(m.group(1)), m.group(2))
        got = b""
        while len(got) < sizes[-1]:
            answer = c.do("FETCH %d BODY.PEEK[]<%d.%d>" % (len(sizes), len(got), 3000001))
            got += answer.find(rb"BODY\[\]<\d+> \{\d+\}\r\n(.*)\)$").group(1)
        assert got == bodies[-1]
        # all of it was streamed
        assert sanitized(t.binary) or s.memory() < 60 << 20, s.memory()


def many(s, count, octets, user=ANNA):
    """A Maildir of so many messages, made by hand."""
    cur = os.path.join(s.maildir(user), "cur")
    for folder in (os.path.dirname(os.path.dirname(cur)), os.path.dirname(cur), cur):
        os.makedirs(folder, 0o700, exist_ok=True)
    for parent in (os.path.join(s.state, "mail"), os.path.join(s.state, "mail", "example.org"),
                   os.path.dirname(os.path.dirname(cur)), os.path.dirname(cur), cur):
        give(parent)
    text = message("many", "x" * 70 + "\r\n").replace(b"\r\n", b"\n")
    text += (b"y" * 70 + b"\n") * ((octets - len(text)) // 71)
    for n in range(count):
        path = os.path.join(cur, "%d.M%dP1.test:2," % (1700000000 + n, n))
        with open(path, "wb") as out:
            out.write(text)
        os.utime(path, (1700000000 + n, 1700000000 + n))
        give(path)


def settled(s):
    """What the server takes when nothing goes on: all has been prepared, and no thread is new to its work."""
    seen = []

    def the_same():
        seen.append(s.memory("VmRSS"))
        time.sleep(0.1)
        return len(seen) > 10 and len(set(seen[-10:])) == 1
    wait_until("memory that stays", the_same)
    return seen[-1]


def test_clients_that_do_not_read(t):
    """What waits for each of them is bounded, and the others do not wait."""
    s = server(t, {"imap": {"search_index": False}}, start=False)
    many(s, 1200, 20000)
    s.start()
    with client(s, select="INBOX") as quick:
        slow = [client(s, select="INBOX") for _ in range(4)]
        quick.do("FETCH 1:* BODY.PEEK[]")
        before = settled(s)
        asked = [(c, c.send("FETCH 1:* BODY.PEEK[]"), c.send("FETCH 1:* (FLAGS UID)")) for c in slow]
        more = settled(s) - before
        start = time.monotonic()
        quick.do("FETCH 1:* (UID FLAGS)")
        quick.do("FETCH 100 BODY.PEEK[]")
        assert time.monotonic() - start < 2
        assert sanitized(t.binary) or more < len(slow) * (2 << 20), "%d KiB of 96 MB" % (more >> 10)
        for c, texts, flags in asked:
            assert len(c.wait(texts).untagged) == 1200
            assert len(c.wait(flags).untagged) == 1200
        slow[0].send("FETCH 1:* BODY.PEEK[]")
        for c in slow:
            c.close()  # one of them in the middle of it
        quick.do("NOOP")


def test_a_client_that_never_reads(t):
    s = server(t, {"limits": {"timeouts": {"data": "1s"}}}, start=False)
    many(s, 2000, 20000)
    s.start()
    with client(s, select="INBOX") as c:
        c.do("FETCH 1:* (UID)")
        c.send("FETCH 1:* BODY.PEEK[]")
        s.wait_log("event=timeout")
        try:
            while c.sock.recv(1 << 20):
                pass
        except ConnectionResetError:
            pass


def test_stops_while_clients_do_not_read(t):
    """Nobody keeps the server from its end: neither who does not read, nor who waits for a long search."""
    s = server(t, start=False)
    many(s, 3000, 20000)
    s.start()
    with client(s, select="INBOX") as slow, client(s, select="INBOX") as searching, client(s) as good:
        slow.send("FETCH 1:* BODY.PEEK[]")
        p = poplib.POP3(HOST, s.ports["pop3", "none"], timeout=30)
        p.user(ANNA)
        p.pass_(PASSWORDS[ANNA])
        p.sock.sendall(b"RETR 1\r\n" * 3000)
        good.do("NOOP")
        searching.send("SEARCH " + " ".join(["NOT TEXT %s" % ("y" * n) for n in range(100, 1000)]))
        begun = time.monotonic()
        s.stop()
        assert time.monotonic() - begun < 6
        assert good.line().startswith(b"* BYE")
    assert "stopped-in-haste" not in s.log()


def test_objects_and_previews(t):
    s = server(t)
    with client(s, select="INBOX") as c:
        c.append("INBOX", message("a", "Hello,\r\n  this   is\r\nthe text\r\n"))
        c.do("COPY 1 INBOX")
        c.do("NOOP")
        answer = c.do("FETCH 1:2 (EMAILID THREADID SAVEDATE PREVIEW INTERNALDATE)")
        ids = [m.group(1) for m in answer.all(rb"EMAILID \((M[0-9a-f]{32})\)")]
        assert len(ids) == 2 and ids[0] == ids[1], answer
        assert len(answer.all(rb"THREADID NIL")) == 2 and len(answer.all(rb'SAVEDATE "[ \d]\d-\w{3}-\d{4} ')) == 2, answer
        assert len(answer.all(rb'PREVIEW "Hello, this is the text"')) == 2, answer
        assert re.search(rb'INTERNALDATE "', answer.untagged[0])
