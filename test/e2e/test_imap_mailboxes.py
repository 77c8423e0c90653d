"""IMAP's commands on mailboxes: names, lists, states, special uses, subscriptions, quotas."""
import os
import re
import socket
import struct

from imap import client, literal, server, talk
from lib import ANNA, give, listener, message


def names(c, command='LIST "" "*"'):
    """The mailboxes that are listed."""
    return [m.group(1).decode() for m in c.do(command).all(rb'^\* L(?:IST|SUB) \([^)]*\) "/" "?([^"]*?)"?(?: \(.*)?$')]


def test_a_folder_that_another_program_makes_anew(t):
    """What stays open for a while under its name is not taken for it."""
    s = server(t)
    folder = os.path.join(s.maildir(), ".a")
    with client(s) as c:
        c.do("CREATE a")
        for n in range(3):
            talk(c, ("SELECT a", "OK", r"^\* 0 EXISTS"), ("CLOSE", "OK"))
            os.rename(folder, os.path.join(s.maildir(), "former-%d" % n))
            assert not c.do('LIST "" a').untagged
            for path in (folder, *(os.path.join(folder, part) for part in ("cur", "new", "tmp"))):
                os.mkdir(path, 0o700)
                give(path)
        os.rename(folder, os.path.join(s.maildir(), "former"))
        talk(c, ("SELECT a", "NO", r"\[NONEXISTENT\]"))


def test_create_delete_rename(t):
    s = server(t)
    with client(s) as c:
        talk(c, ("CREATE one", "OK", r"OK \[MAILBOXID \([^)]+\)\]"), ("CREATE one", "NO", r"\[ALREADYEXISTS\]"),
             ("CREATE one/two/", "OK"), ("CREATE inbox", "NO"), ("CREATE INBOX/below", "OK"),
             ("DELETE INBOX", "NO", r"\[CANNOT\] INBOX cannot"), ("CREATE a//b", "NO", r"\[CANNOT\] A folder's name"),
             ("CREATE one", "NO", r"\] There is a folder"), ("DELETE nowhere", "NO", r"\[NONEXISTENT\]"), ("DELETE one", None))
        talk(c, ("RENAME nowhere x", "NO", r"\[NONEXISTENT\]"), ("RENAME one/two Sent", "NO", r"\[ALREADYEXISTS\]"),
             ("RENAME one/two three", "OK"), ("STATUS three (MESSAGES)", "OK"), ("STATUS one/two (MESSAGES)", "NO"),
             ("CREATE three/four", "OK"), ("RENAME three five/six", "OK"), ("STATUS five/six/four (MESSAGES)", "OK"),
             ("RENAME five/six five/six/seven", "NO"), ("RENAME five/six five/six", "NO"))
        # RFC 3501 6.3.5: INBOX's messages move, INBOX stays and is empty
        c.append("INBOX", b"Subject: kept\r\n\r\n")
        talk(c, ("RENAME INBOX old", "OK"), ("STATUS old (MESSAGES)", "OK", "MESSAGES 1"),
             ("STATUS INBOX (MESSAGES)", "OK", "MESSAGES 0"),
             ("STATUS INBOX/below (MESSAGES)", "OK"))
        # a name that comes again is another mailbox
        first = c.do("STATUS old (UIDVALIDITY MAILBOXID)").find(rb"UIDVALIDITY (\d+) MAILBOXID \((\S+)\)").groups()
        talk(c, ("DELETE old", "OK"), ("CREATE old", "OK"))
        again = c.do("STATUS old (UIDVALIDITY MAILBOXID)").find(rb"UIDVALIDITY (\d+) MAILBOXID \((\S+)\)").groups()
        assert int(again[0]) > int(first[0]) and again[1] != first[1], (first, again)
        assert os.listdir(os.path.join(s.maildir(), ".old", "cur")) == []


def test_no_uids_left(t):
    s = server(t)
    with client(s) as c:
        c.do("CREATE a")
    s.stop()
    path = os.path.join(s.maildir(), ".a", "facteur-uidvalidity")
    with open(path, encoding="ascii") as text:
        lines = re.sub(r"uidnext \d+", "uidnext 4294967295", text.read())
    with open(path, "w", encoding="ascii") as text:
        text.write(lines)
    s.start()
    with client(s) as c:
        assert b"[LIMIT] The mailbox has no UIDs left" in c.append("a", message("x"), status="NO").final
        c.append("INBOX", message("x"))
        talk(c, ("SELECT INBOX", "OK"), ("COPY 1 a", "NO", r"\[LIMIT\]"), ("COPY 1 Sent", "OK"))


def test_delete_with_children(t):
    s = server(t)
    with client(s) as c:
        talk(c, ("CREATE a", "OK"), ("CREATE a/b", "OK"), ("DELETE a", "OK"),
             ('LIST "" a', "OK", r"^\* LIST \(\\Noselect \\HasChildren\)"), ("SELECT a", "NO"),
             ("DELETE a", "NO", r"\[NONEXISTENT\] .*only holds others"), ("STATUS a/b (MESSAGES)", "OK"),
             ("DELETE a/b", "OK"), ('LIST "" a', "OK", r"!LIST \("), ("CREATE a", "OK"))


def test_renamed_while_open(t):
    """The old name is nobody's, or another mailbox's; who has the renamed one open stays in it."""
    s = server(t)
    with client(s) as c, client(s) as other:
        c.do("CREATE old")
        c.do("CREATE old/below")
        c.append("old", b"Subject: moves\r\n\r\n")
        talk(other, ("SELECT old/below", "OK"), ("SELECT old", "OK"))
        talk(c, ("SELECT old", "OK"), ("SELECT INBOX", "OK"), ("RENAME old new", "OK"),
             ("SELECT old", "NO", r"\[NONEXISTENT\]"), ("SELECT old/below", "NO", r"\[NONEXISTENT\]"),
             ("CREATE old", "OK"), ("SELECT old", "OK", r"^\* 0 EXISTS"),
             ("SELECT new", "OK", r"^\* 1 EXISTS"), (r"STORE 1 +FLAGS (\Flagged)", "OK"))
        talk(other, ("NOOP", "OK", r"^\* 1 FETCH .*Flagged"), ("SELECT new/below", "OK"))


def test_open_mailboxes_that_go(t):
    s = server(t)
    with client(s) as c, client(s) as other:
        c.do("CREATE box")
        c.append("box", b"Subject: x\r\n\r\n")
        other.do("SELECT box")
        talk(c, ("DELETE box", "OK"))
        talk(other, ("NOOP", "OK", r"\[CLOSED\]"), ("FETCH 1 BODY[]", "BAD"), ("SELECT INBOX", "OK"), ("SELECT box", "NO"))
        talk(c, ("CREATE box2", "OK"), ("SELECT box2", "OK"), ("DELETE box2", None), ("SELECT INBOX", "OK"))
        c.do("CREATE box3")
        c.append("box3", b"Subject: moves\r\n\r\n")
        other.do("SELECT box3")
        talk(c, ("RENAME box3 box4", "OK"), ("STATUS box4 (MESSAGES UIDNEXT)", "OK", "MESSAGES 1 UIDNEXT 2"))
        other.do("NOOP", None)
        talk(other, ("SELECT box4", "OK"), ("FETCH 1 BODY.PEEK[]", "OK", "Subject: moves"))


def test_messages_for_others_while_the_selected_one_goes(t):
    s = server(t)
    with client(s) as c, client(s) as other:
        for command, answer in (("APPEND one", "OK"), ("REPLACE 1 one", "NO")):
            talk(c, ("CREATE box", "OK"), ("CREATE one", None), ("CREATE two", None))
            c.append("box", b"Subject: x\r\n\r\n")
            other.do("SELECT box")
            c.do("DELETE box")
            assert other.do(b"%s " % command.encode() + literal(b"Subject: 1\r\n\r\n"), answer).find(rb"\[CLOSED\]")
            other.append("two", b"Subject: 2\r\n\r\n")
            talk(c, ("STATUS one (MESSAGES)", "OK", "MESSAGES 1"), ("STATUS two (MESSAGES)", "OK", "MESSAGES 1"),
                 ("DELETE two", "OK"))
            for late in ("LIST \"\" \"*\"", "STATUS one (MESSAGES)", "CREATE more%d" % len(answer + command)):
                c.do("CREATE box", None)
                other.do("SELECT box")
                c.do("DELETE box")
                talk(other, (late, "OK"))


def test_names(t):
    s = server(t, {"limits": {"errors": 1000}})
    with client(s) as c:
        for bad in ('""', "..", ".", "../x", "x/..", "a//b", "/a", '"a\\0"', "cur/../x", "&", "&AA", "&AAA-", "&AC8-",
                    "a&AC4ALg-b/&AC4ALg-",
                    "&AAo-", '"a\tb"', "x" * 300, "/".join("x" * 70), "Inbox/" + "y/" * 2000, "&2D0-", "&AGE-",
                    "&-&-&"):
            answer = c.do("CREATE " + bad, None)
            assert answer.status in ("NO", "BAD"), (bad[:50], answer)
            talk(c, ("NOOP", "OK"))
        for bad in (b"a\rb", b"a\nb", b"a\0b", b"a\x7fb", b"\xff\xfe", b"\xc3", b"a\x1bb"):
            answer = c.do(b"CREATE " + literal(bad), None)
            assert answer.status in ("NO", "BAD"), (bad, answer)
        good = ["with space", "dot.in.name", "tilde~", "quote\\\"d", "R&AOk-sum&AOk-", "&ZeVnLIqe-", "a&-b", "cur",
                "new", "tmp", "hash#", ".hidden",
                "paren(", "back\\\\slash", "brack]et", "plus+", "Inbox2", "&2D3eAA-"]
        for name in good:
            talk(c, ('CREATE "%s"' % name, "OK"), ('SELECT "%s"' % name, "OK"), ("UNSELECT", "OK"))
            c.append('"%s"' % name, b"Subject: x\r\n\r\n")
            talk(c, ('STATUS "%s" (MESSAGES)' % name, "OK", "MESSAGES 1"))
        listed = c.do('LIST "" "*"')
        for name in good:
            wire = name.replace("\\\"", "\"").replace("\\\\", "\\")
            quoted = wire.replace("\\", "\\\\").replace('"', '\\"')
            assert any(line.endswith((b'"%s"' % quoted.encode(),
                                      b" " + wire.encode())) or line.endswith(b"}\r\n" + wire.encode())
                       for line in listed.untagged), (name, listed)
        assert c.do('CREATE "in&-box"', "OK")
        for name in ("iNbOx", "INBOX", '"inbox"'):
            talk(c, ("SELECT " + name, "OK"))
    top = set(os.listdir(s.maildir()))
    assert not [name for name in top if ".." in name], top
    assert {"cur", "new", "tmp"} <= top
    assert os.listdir(s.state) and not os.path.exists(os.path.join(os.path.dirname(s.maildir()), "x"))


def test_names_in_utf8(t):
    """RFC 6855 and 9051: after ENABLE names are UTF-8; before it they are modified UTF-7; the mailbox is the same."""
    s = server(t)
    for enable in ("UTF8=ACCEPT", "IMAP4rev2"):
        with client(s) as c, client(s) as old:
            name = "Entw\u00fcrfe-" + enable[:4]
            talk(c, (b"CREATE " + literal(name.encode()), None), ("ENABLE " + enable, "OK", r"^\* ENABLED " + enable),
                 ('CREATE "Sp\u00e4ter %s"' % enable[:4], "OK"),
                 ('LIST "" "*"', "OK", 'Sp\u00e4ter'.encode().decode("latin-1")))
            talk(c, ("SELECT INBOX", "OK"),  # RFC 6855 section 3
                 ("SEARCH CHARSET UTF-8 ALL", "BAD" if enable == "UTF8=ACCEPT" else "OK"), ("SORT (DATE) UTF-8 ALL", "OK"),
                 ("SEARCH ALL", "OK"))
            assert old.do('LIST "" "*"').find(rb'"Sp&AOQ-ter %s"' % enable[:4].encode())
            talk(old, ('SELECT "Sp&AOQ-ter %s"' % enable[:4], "OK"))
            talk(c, ('SELECT "Sp\u00e4ter %s"' % enable[:4], "OK"), ('CREATE "\u202e\u0000"', "BAD"))


def test_lists(t):
    s = server(t)
    with client(s) as c:
        for name in ("a", "a/b", "a/b/c", "x/y", "INBOX/in"):
            c.do("CREATE " + name)
        standard = {"INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"}
        assert set(names(c)) == standard | {"a", "a/b", "a/b/c", "x", "x/y", "INBOX/in"}, names(c)
        for reference, pattern, want in (("", "%", standard | {"a", "x"}), ("", "a/%", {"a/b"}), ("a/", "%", {"a/b"}),
                                         ("a/", "*", {"a/b", "a/b/c"}),
                                         ("", "a", {"a"}), ("", "%/%", {"a/b", "x/y", "INBOX/in"}),
                                         ("", "inbox", {"INBOX"}), ("", "*c", {"a/b/c"}),
                                         ("", "%c", set()), ("", "../*", set()), ("", "*" * 500, None),
                                         ("", "*%" * 300 + "q", set()),
                                         ("../", "%", set()), ("/etc/", "*", set())):
            found = set(names(c, 'LIST "%s" "%s"' % (reference, pattern)))
            assert want is None or found == want, (reference, pattern, found)
        talk(c, ('LIST "" ""', "OK", r'^\* LIST \(\\Noselect\) "/" ""$'),
             ('LIST "" x', "OK", r'^\* LIST \(\\Noselect \\HasChildren\) "/" "?x"?$'),
             ('LIST "" a/b/c', "OK", r"\\HasNoChildren"), ("LIST \"\" \"nowhere\"", "OK", r"!\* LIST"))

        # RFC 5258, 5819, 6154
        for name in ("a/b", "x/y", "gone", "INBOX"):
            c.do("SUBSCRIBE " + name)
        assert set(names(c, 'LSUB "" "*"')) == (standard | {"a/b", "x/y", "gone"})
        assert set(names(c, 'LIST (SUBSCRIBED RECURSIVEMATCH) "" "*"')) == (standard | {"a/b", "x/y", "gone"})
        assert set(names(c, 'LIST (SUBSCRIBED RECURSIVEMATCH) "" ("%" "a/*")')) == (standard | {"a/b", "x", "gone"})
        talk(c, ('LSUB "" "%"', "OK", r'^\* LSUB \(\\Noselect\) "/" "?a"?$'),
             ('LIST (SUBSCRIBED) "" "*"', "OK",
              r'\(\\NonExistent [^)]*\\Subscribed[^)]*\) "/" "?gone"?$|\(\\Subscribed \\NonExistent[^)]*\) "/" "?gone"?$',
              r'\\Subscribed.* "/" "?a/b"?$', '! "/" "?a"?$'),
             ('LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"', "OK", r'"/" "?a"? \(\"?CHILDINFO\"? \("SUBSCRIBED"\)\)'),
             ('LIST (RECURSIVEMATCH) "" "%"', "BAD"), ('LIST (REMOTE) "" "%"', "OK"), ('LIST (NONSENSE) "" "%"', "BAD"),
             ('LIST "" ("a" "x/%" "INBOX") RETURN (CHILDREN SUBSCRIBED)', "OK", r'HasChildren.* "?a"?$',
              r'Subscribed.* "?x/y"?$', '!Drafts'),
             ('LIST (SPECIAL-USE) "" "*"', "OK", r"\\Drafts", r"\\Junk", "!INBOX"),
             ('LIST "" "%" RETURN (SPECIAL-USE)', "OK", r"\\Trash", "INBOX"),
             ('LIST "" (INBOX Sent) RETURN (STATUS (MESSAGES UIDNEXT SIZE))', "OK",
              r"^\* STATUS \"?INBOX\"? \(MESSAGES 0 UIDNEXT 1 SIZE 0\)",
              r"^\* STATUS \"?Sent\"? \("), ('LIST "" "%" RETURN (NONSENSE)', "BAD"), ('LIST () "" () ', "BAD"),
             ('LIST (SUBSCRIBED) "" "*" RETURN (STATUS (MESSAGES))', "OK", "!STATUS \"?gone"))
        # RFC 3501 section 6.3.9: "%" tells of what is above a subscribed name, also when neither exists
        talk(c, ("SUBSCRIBE lost/one", "OK"), ('LSUB "" "%"', "OK", r'^\* LSUB \(\\Noselect\) "/" lost$'),
             ('LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"', "OK",
              r'^\* LIST \(\\NonExistent\) "/" lost \("CHILDINFO" \("SUBSCRIBED"\)\)$'),
             ('LIST (SUBSCRIBED) "" "%"', "OK", "!lost"), ('LIST "" "*"', "OK", "!lost"), ('LSUB "" "*"', "OK", '!lost$'),
             ("UNSUBSCRIBE lost/one", "OK"), ('LSUB "" "%"', "OK", "!lost"))
        talk(c, ("UNSUBSCRIBE gone", "OK"), ("UNSUBSCRIBE gone", "OK"), ('LSUB "" gone', "OK", "!LSUB \\("),
             ("SUBSCRIBE ..", "NO|BAD"[:2]))
    assert "a/b" in open(os.path.join(s.maildir(), "subscriptions")).read().replace("\t", "/")


def test_special_uses(t):
    s = server(t)
    with client(s) as c:
        talk(c, ("CREATE Important (USE (\\Nonsense))", "NO", r"\[USEATTR\]"),
             ("CREATE Two (USE (\\Drafts \\Sent))", "NO", r"\[USEATTR\]"),
             ("CREATE Gone (USE ())", None), ("DELETE Archive", "OK"), ("CREATE Ablage (USE (\\Archive))", "OK"),
             ('LIST (SPECIAL-USE) "" "*"', "OK", r'\\Archive\) "/" "?Ablage"?$'))
    s.restart()
    with client(s) as c:
        found = c.do('LIST "" "*" RETURN (SPECIAL-USE)')
        assert found.find(rb'\\Archive\) "/" "?Ablage"?$') and found.find(rb'\\Trash\) "/" "?Trash"?$'), found


def test_status_and_namespace(t):
    s = server(t)
    with client(s) as c:
        for n in range(3):
            c.append("Sent", b"Subject: %d\r\n\r\n12345" % n, r"(\Seen)" if n else r"(\Deleted)")
        size = 3 * len(b"Subject: 0\r\n\r\n12345")
        talk(c, ("NAMESPACE", "OK", r'^\* NAMESPACE \(\("" "/"\)\) NIL NIL$'),
             ("STATUS Sent (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)", "OK",
              r"MESSAGES 3 RECENT 3 UIDNEXT 4 UIDVALIDITY \d+ UNSEEN 1"),
             ("STATUS Sent (SIZE DELETED DELETED-STORAGE HIGHESTMODSEQ MAILBOXID APPENDLIMIT)", "OK", r"SIZE %d\b" % size,
              r"DELETED 1\b", r"DELETED-STORAGE [1-9]\d+\b", r"HIGHESTMODSEQ [1-9]",
              r"MAILBOXID \(\S+\)", r"APPENDLIMIT \d+"),
             ("STATUS nowhere (MESSAGES)", "NO", r"\[NONEXISTENT\]"), ("SELECT Sent", "OK"),
             ("STATUS Sent (MESSAGES)", "OK", "MESSAGES 3"))
        before = c.do("STATUS Sent (HIGHESTMODSEQ)").find(rb"HIGHESTMODSEQ (\d+)").group(1)
        c.do(r"STORE 1 +FLAGS (\Flagged)")
        after = c.do("STATUS Sent (HIGHESTMODSEQ)").find(rb"HIGHESTMODSEQ (\d+)").group(1)
        assert int(after) > int(before)


def test_quota_before_the_literal(t):
    """What is larger than the quota's rest is not asked for."""
    s = server(t, {"users": {ANNA: {"quota": "20 KiB"}}})
    text = b"Subject: x\r\n\r\n" + b"x" * 8000
    with client(s) as c:
        c.append("INBOX", text)
        for command in (b"APPEND INBOX {%d}" % (20 << 10), b"APPEND INBOX {%d+}\r\n%s {%d}" % (len(text), text, 8000)):
            c.raw(b"a " + command + b"\r\n")
            line = c.line()
            assert line.startswith(b"a NO [OVERQUOTA]"), line
        c.raw(b"b APPEND INBOX {%d+}\r\n%s\r\nc NOOP\r\n" % (20 << 10, b"y" * (20 << 10)))
        assert c.line().startswith(b"b NO [OVERQUOTA]") and c.line().startswith(b"c OK")
        c.append("INBOX", text)  # what was refused takes no room
        talk(c, ("STATUS INBOX (MESSAGES)", "OK", "MESSAGES 2"))


def test_quotas(t):
    s = server(t, {"users": {ANNA: {"quota": "1500 B"}}}, name="odd")
    with client(s) as c:  # full, and not above it
        c.append("INBOX", b"Subject: x\r\n\r\n" + b"x" * (1500 - 13 - 1) + b"\r\n")
        talk(c, ('GETQUOTA ""', "OK", r"\(STORAGE 2 2\)"))
        text = s.run("mailbox", "quota", ANNA).stdout
        assert "(99 %)" in text, text  # 1,499 octets: lines end in LF
    s = server(t, {"users": {ANNA: {"quota": "20 KiB"}}})
    with client(s) as c:
        talk(c, ("GETQUOTAROOT INBOX", "OK", r'^\* QUOTAROOT "?INBOX"? ""$', r'^\* QUOTA "" \(STORAGE 0 20\)$'),
             ('GETQUOTA ""', "OK", r'\(STORAGE 0 20\)'), ("GETQUOTA nonsense", "NO"),
             ('SETQUOTA "" (STORAGE 1)', "NO", r"\[NOPERM\]"),
             ('SETQUOTA "" (STORAGE', "BAD"))
        c.append("INBOX", b"Subject: x\r\n\r\n" + b"x" * 10000)
        talk(c, ('GETQUOTA ""', "OK", r'\(STORAGE 10 20\)'))
        answer = c.append("Sent", b"Subject: x\r\n\r\n" + b"x" * 12000, status="NO")
        assert b"[OVERQUOTA]" in answer.final, answer
        talk(c, ("SELECT INBOX", "OK"), ("COPY 1 Sent", "OK"), ("COPY 1 Sent", "NO", r"\[OVERQUOTA\]"),
             ("MOVE 1 Trash", "OK"),  # nothing more is used by it
             ("STATUS Sent (MESSAGES)", "OK", "MESSAGES 1"))
        s.reload(users={ANNA: {"quota": "1 MiB"}})  # is true at once, also for who is there
        c.append("Sent", b"Subject: x\r\n\r\n" + b"x" * 12000)
        with client(s) as late:
            late.append("Sent", b"Subject: x\r\n\r\n" + b"x" * 30000)
            talk(late, ('GETQUOTA ""', "OK", r" 1024\)"))
    s = server(t, name="free")
    with client(s) as c:
        talk(c, ("GETQUOTAROOT INBOX", "OK", r'^\* QUOTAROOT "?INBOX"?$', "!STORAGE"), ('GETQUOTA ""', "NO"))


def test_limits(t):
    s = server(t, {"limits": {"mailboxes": 10, "keywords": 5, "errors": 100}})
    with client(s) as c:
        made = 0
        for n in range(12):
            answer = c.do("CREATE box%d" % n, None)
            if answer.status == "NO":
                assert b"[LIMIT]" in answer.final, answer
                break
            made += 1
        assert 3 <= made <= 5, made
        c.append("INBOX", b"Subject: x\r\n\r\n")
        c.do("SELECT INBOX")
        talk(c, ("STORE 1 +FLAGS (k1 k2 k3 k4 k5)", "OK"), ("STORE 1 +FLAGS (k6)", None),
             ("FETCH 1 FLAGS", "OK", "k5", "!k6"),
             ("STORE 1 +FLAGS (%s)" % ("k" * 5000), None), ("NOOP", "OK"))


def test_proxy_stays_a_stranger(t):
    """A listener for IMAP behind a proxy takes no connection without its header."""
    s = server(t, {"listen": [listener("imap", "none", proxy_from=["127.0.0.1/32"])]}, tls=False)
    from test_imap_session import closed, connect
    c = connect(s, greet=False)
    c.raw(b"a LOGIN x y\r\n")
    assert b"a " not in closed(c)


def test_deleted_by_one_who_left(t):
    """A DELETE whose client does not wait for its answer: what has the name later is another mailbox."""
    s = server(t)
    with client(s) as c:
        for n in range(20):
            c.do("CREATE box%d" % n)
            with client(s) as other, client(s, select="box%d" % n):
                other.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                other.raw(b"x DELETE box%d\r\n" % n)
                other.close()  # with a reset, which is seen at once
            while c.do("CREATE box%d" % n, None).status != "OK":
                pass
            c.do("SELECT box%d" % n)


def test_status_of_what_was_announced(t):
    """STATUS knows of each message that a session has heard of with EXISTS (RFC 9051 section 6.3.11)."""
    s = server(t)
    with client(s, select="INBOX") as idle, client(s, select="INBOX") as c, client(s) as other:
        idle.send("IDLE")
        idle.line()
        for n in range(1, 31):
            s.send(message("m%d" % n))
            while idle.line() != b"* %d EXISTS" % n:
                pass
            nexts = []
            for x, command in ((other, "STATUS INBOX (MESSAGES UIDNEXT UNSEEN)"),
                               (c, 'LIST "" INBOX RETURN (STATUS (MESSAGES UIDNEXT UNSEEN))')):
                answer = x.do(command)
                told = answer.find(rb"MESSAGES %d UIDNEXT (\d+) UNSEEN %d" % (n, n))
                assert told, (n, command, answer)
                nexts.append(int(told.group(1)))
            last = int(c.do("FETCH %d UID" % n).find(rb"UID (\d+)").group(1))  # a UID may have been skipped
            assert min(nexts) > last, (n, nexts, last)
        c.do(r"STORE 1:3 +FLAGS.SILENT (\Deleted \Seen)")
        size = sum(int(m.group(1)) for m in c.do("FETCH 1:* RFC822.SIZE").all(rb"SIZE (\d+)"))
        assert other.do("STATUS INBOX (MESSAGES UNSEEN DELETED SIZE)").find(
            rb"MESSAGES 30 UNSEEN 27 DELETED 3 SIZE %d\)" % size)
