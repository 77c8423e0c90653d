"""Mailboxes over IMAP: sessions, other sessions, deliveries and other programs on the same files."""
import os
import re
import socket
import ssl

from imap import client, server
from lib import ANNA, BERT, HOST, message, wait_until


def files(s, user=ANNA, folder=""):
    return [name for part in ("new", "cur") for name in os.listdir(os.path.join(s.maildir(user), folder, part))]


def test_reads_what_was_delivered(t):
    s = server(t)
    s.send(message("first", "Hello,\r\n.\r\nworld\r\n"))
    s.wait_mail()
    with client(s) as c:
        answer = c.do("SELECT INBOX")
        assert answer.find(rb"^\* 1 EXISTS") and answer.find(rb"UIDVALIDITY \d+") and answer.find(rb"UIDNEXT 2")
        assert b"READ-WRITE" in answer.final
        answer = c.do("FETCH 1 (UID FLAGS RFC822.SIZE ENVELOPE BODY[])")
        body = answer.find(rb"BODY\[\] \{(\d+)\}\r\n(.*)\)$")
        assert b"Hello,\r\n.\r\nworld\r\n" in body.group(2), body
        size = int(answer.find(rb"RFC822.SIZE (\d+)").group(1))
        assert size == int(body.group(1)) and b"\n" not in body.group(2).replace(b"\r\n", b"")
        assert answer.find(rb'"first"')
        assert c.do("FETCH 1 FLAGS").find(rb"\\Seen"), "BODY[] marks a message as read"
        c.do("LOGOUT")
    wait_until("the name to follow", lambda: any(name.endswith(":2,S") and ",U=1:" in name for name in files(s)))


def test_delivery_reaches_idle_at_once(t):
    s = server(t)
    with client(s, select="INBOX") as c:
        tag = c.send("IDLE")
        assert c.line().startswith(b"+ ")
        for n in range(1, 4):
            s.send(message("number %d" % n))
            line = c.line()
            while b"EXISTS" not in line:
                line = c.line()
            assert line == b"* %d EXISTS" % n
        c.raw(b"DONE\r\n")
        c.wait(tag)
        assert c.uids() == [1, 2, 3]
        assert [m.group(1) for m in c.do("FETCH 1:* ENVELOPE").all(rb'"(number \d)"')] == [b"number 1", b"number 2", b"number 3"]


def test_two_sessions_see_each_other(t):
    s = server(t)
    with client(s, select="INBOX") as one, client(s, select="INBOX") as two:
        for n in range(3):
            one.append("INBOX", message("m%d" % n))
        assert two.do("NOOP").find(rb"^\* 3 EXISTS")
        one.do(r"STORE 2 +FLAGS (\Deleted \Flagged work)")
        news = two.do("NOOP")
        assert news.find(rb"^\* FLAGS \(.*work") and news.find(rb"^\* 2 FETCH .*\\Deleted.*work"), news
        assert not one.do(r"STORE 1 FLAGS.SILENT (\Seen)").untagged
        assert one.do("EXPUNGE").find(rb"^\* 2 EXPUNGE")
        held = two.do("FETCH 1:3 (UID FLAGS)", None)  # numbers stay as they are until it may hear of it
        assert not held.find(rb"EXPUNGE") and len(held.all(rb"FETCH \(UID")) == 2, held
        assert held.find(rb"^\* 1 FETCH .*UID 1 .*\\Seen") and held.find(rb"^\* 3 FETCH .*UID 3"), held
        assert two.do("NOOP").find(rb"^\* 2 EXPUNGE")
        assert two.uids() == one.uids() == [1, 3]


def test_other_programs_change_the_files(t):
    s = server(t)
    with client(s, select="INBOX") as c:
        c.append("INBOX", message("one"))
        c.append("INBOX", message("two"))
        cur = os.path.join(s.maildir(), "cur")
        first, second = sorted(os.listdir(cur), key=lambda name: int(re.search(r",U=(\d+)", name).group(1)))
        os.rename(os.path.join(cur, first), os.path.join(cur, first.split(":2,")[0] + ":2,FS"))
        os.unlink(os.path.join(cur, second))
        with open(os.path.join(s.maildir(), "tmp", "1700000000.M1P1.elsewhere"), "w") as out:
            out.write("Subject: dropped in\n\nby another program\n")
        os.chmod(out.name, 0o666)
        os.rename(out.name, out.name.replace("/tmp/1700000000", "/new/1700000000"))

        def seen():
            c.do("NOOP")
            answer = c.do("UID FETCH 1:* (FLAGS)")
            return len(answer.untagged) == 2 and answer.find(rb"UID 1 .*\\Flagged") and answer.find(rb"UID 3 ")
        wait_until("the changes", seen)
        assert c.do("UID FETCH 3 BODY[TEXT]").find(rb"by another program\r\n")


def test_folders(t):
    s = server(t)
    with client(s) as c:
        listed = c.do('LIST "" "*"')
        for name, use in (("Drafts", "Drafts"), ("Sent", "Sent"), ("Junk", "Junk"), ("Trash", "Trash"), ("Archive", "Archive")):
            assert listed.find(rb'\\%s.* "/" "?%s"?$' % (use.encode(), name.encode())), listed
        c.do("CREATE Work/Clients/M&APw-ller")
        assert os.path.isdir(os.path.join(s.maildir(), ".Work.Clients.M&APw-ller"))
        assert c.do('LIST "" Work/%').find(rb'\\NonExistent|\\Noselect|\\HasChildren')
        c.do("SUBSCRIBE Work/Clients/M&APw-ller")
        assert c.do('LSUB "" "*"').find(rb"M&APw-ller")
        c.append("Work/Clients/M&APw-ller", message("kept"))
        c.do("RENAME Work Archive/Work")
        assert c.do('STATUS "Archive/Work/Clients/M&APw-ller" (MESSAGES UIDNEXT)').find(rb"MESSAGES 1 UIDNEXT 2")
        c.do("DELETE Archive/Work/Clients/M&APw-ller")
        c.do("SELECT Archive/Work/Clients/M&APw-ller", "NO")
        for bad in ('""', "..", "../x", "a//b", "/a", '"a\\0"', "cur/../x"):
            assert c.do("CREATE " + bad, None).status in ("NO", "BAD"), bad


def test_copy_move_and_search(t):
    s = server(t)
    with client(s, select="INBOX") as c:
        for n in range(5):
            c.append("INBOX", message("subject %d" % n, "the word zebra%d is here\r\n" % n), r"(\Seen)" if n % 2 else "")
        assert c.do("UID COPY 1:2 Archive").final.find(b"COPYUID") > 0
        moved = c.do("MOVE 3 Archive")
        assert moved.find(rb"COPYUID \d+ 3 3") and moved.find(rb"^\* 3 EXPUNGE"), moved
        assert c.do("COPY 1 Nowhere", "NO").final.find(b"[TRYCREATE]") > 0
        assert c.do("SEARCH TEXT ZEBRA3").untagged == [b"* SEARCH 3"]
        assert c.do("UID SEARCH UNSEEN").untagged == [b"* SEARCH 1 5"]
        assert c.do("SEARCH SUBJECT nothing").untagged == [b"* SEARCH"]
        assert c.do("UID SEARCH RETURN (MIN MAX COUNT ALL) 1:*").find(rb"UID MIN 1 MAX 5 ALL 1:2,4:5 COUNT 4")
        assert c.do("SORT (REVERSE SUBJECT) UTF-8 ALL").untagged == [b"* SORT 4 3 2 1"]
        assert c.do("THREAD REFERENCES UTF-8 ALL").untagged == [b"* THREAD (1)(2)(3)(4)"]
        c.do("SELECT Archive")
        assert len(c.uids()) == 3


def test_uids_survive_a_kill_and_the_loss_of_the_index(t):
    s = server(t)
    with client(s, select="INBOX") as c:
        for n in range(3):
            c.append("INBOX", message("m%d" % n))
        validity = c.do("STATUS INBOX (UIDVALIDITY)").find(rb"UIDVALIDITY (\d+)").group(1)
    s.kill()
    s.start()
    with client(s, select="INBOX") as c:
        assert c.uids() == [1, 2, 3]
        before = int(c.append("INBOX", message("again")).final.split(b"APPENDUID ")[1].split(b"]")[0].split()[1])
        assert before > 3
    s.stop()
    for name in os.listdir(os.path.dirname(s.maildir())):
        if name.startswith("index.db"):
            os.unlink(os.path.join(os.path.dirname(s.maildir()), name))
    s.start()
    with client(s, select="INBOX") as c:
        assert c.uids() == [1, 2, 3, before]
        assert c.do("STATUS INBOX (UIDVALIDITY)").find(rb"UIDVALIDITY (\d+)").group(1) == validity


def test_users_are_apart(t):
    s = server(t)
    with client(s) as c:
        c.append("INBOX", message("mine"))
    with client(s, BERT, select="INBOX") as c:
        assert c.uids() == []


def test_mailbox_commands(t):
    s = server(t, {"users": {ANNA: {"quota": "1 MiB"}}})
    with client(s, select="INBOX") as c:
        c.append("INBOX", message("one"))
        c.append("Sent", message("two"), r"(\Seen)")
        boxes = {b["name"]: b for b in s.json("mailbox", "list", "anna")}
        assert (boxes["INBOX"]["messages"], boxes["INBOX"]["unseen"]) == (1, 1) and boxes["Sent"]["unseen"] == 0, boxes
        assert boxes["Trash"]["special"] == "trash" and "INBOX" in s.run("mailbox", "list", ANNA).stdout
        quota = s.json("mailbox", "quota", ANNA)
        assert quota["messages"] == 2 and quota["quota"] == 1 << 20, quota
        assert c.do("GETQUOTAROOT INBOX").find(rb'QUOTA "" \(STORAGE 1 1024\)')
        s.run("mailbox", "rebuild", ANNA)
        c.append("INBOX", message("three"))
        assert c.uids() == [1, 2]
        big = message("big", "x" * 70 + "\r\n")
        assert b"[OVERQUOTA]" in c.append("INBOX", big + b"y" * 1048576, status="NO").final
    assert s.json("status")["mailboxes"]["accounts"] == 1
    done = s.run("mailbox", "list", "nobody", check=False)
    assert done.returncode == 67 and "there is no user nobody" in done.stderr, done


def test_alpn(t):
    """A client that wants another protocol is turned away (RFC 7301); one that does not say is let in."""
    s = server(t)

    def talk_to(service, *protocols):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(protocols)
        try:
            with socket.create_connection((HOST, s.ports[service, "implicit"]), 20) as plain:
                with context.wrap_socket(plain) as secure:
                    return secure.recv(100)
        except (ssl.SSLError, ConnectionError):
            return b""

    assert talk_to("imap", "imap").startswith(b"* OK") and talk_to("imap").startswith(b"* OK")
    assert talk_to("pop3", "pop3").startswith(b"+OK")
    assert not talk_to("imap", "http/1.1") and not talk_to("imap", "smtp") and not talk_to("pop3", "imap")
    assert talk_to("imap", "http/1.1", "imap").startswith(b"* OK")


def test_numbers_of_expunged_messages(t):
    s = server(t)
    with client(s, select="INBOX") as one, client(s, select="INBOX") as two:
        for n in range(3):
            one.append("INBOX", message("m%d" % n))
        two.do("NOOP")
        one.do(r"STORE 2 +FLAGS.SILENT (\Deleted)")
        one.do("EXPUNGE")
        assert b"[EXPUNGEISSUED]" in two.do(r"STORE 1:3 +FLAGS (\Seen)", "NO").final
        assert one.do("FETCH 1:* FLAGS").find(rb"^\* 2 FETCH .*\\Seen"), "the others have it"
        assert b"OK [EXPUNGEISSUED]" in two.do(r"STORE 1:3 +FLAGS.SILENT (\Flagged)").final
        assert two.do("UID COPY 1:3 Archive").final.find(b"COPYUID") > 0
