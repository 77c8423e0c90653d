"""Mailboxes over POP3: what is fetched, what is deleted and when, who may."""
import poplib

from imap import client, server
from lib import ANNA, BERT, HOST, PASSWORDS, message


def pop(s, user=ANNA, tls="none"):
    c = poplib.POP3(HOST, s.ports["pop3", tls], timeout=30)
    c.user(user)
    c.pass_(PASSWORDS[user])
    return c


def refused(what, *args):
    try:
        what(*args)
    except poplib.error_proto as e:
        return str(e)
    raise AssertionError("it was not refused")


def test_fetches_and_deletes(t):
    s = server(t)
    for n in range(3):
        s.send(message("number %d" % n, ".dots\r\n..more\r\n" + "x\r\n" * 10))
    s.wait_mail(count=3)
    c = pop(s)
    count, octets = c.stat()
    assert count == 3
    lines = c.retr(1)[1]
    assert b".dots" in lines and b"..more" in lines and b"Subject: number 0" in lines, lines
    assert sum(len(line) + 2 for line in lines) == int(c.list(1).split()[2])
    top = c.top(2, 1)[1]
    assert top[-1] == b".dots" and b"Subject: number 1" in top
    ids = [line.split()[1] for line in c.uidl()[1]]
    assert len(set(ids)) == 3
    c.dele(2)
    assert c.stat()[0] == 2 and "no message" in refused(c.retr, 2)
    c.rset()
    c.dele(1)
    c.close()  # without QUIT nothing goes
    c = pop(s)
    assert [line.split()[1] for line in c.uidl()[1]] == ids
    c.dele(1)
    c.quit()
    c = pop(s)
    assert [line.split()[1] for line in c.uidl()[1]] == ids[1:]
    c.quit()
    c = pop(s)
    c.retr(1)
    c.quit()
    with client(s, select="INBOX") as i:
        assert i.uids() == [2, 3]
        assert i.do("FETCH 1 FLAGS").find(rb"\\Seen") and not i.do("FETCH 2 FLAGS").find(rb"\\Seen")


def test_one_session_at_a_time(t):
    s = server(t)
    first = pop(s)
    assert "[IN-USE]" in refused(pop, s)
    first.quit()
    pop(s).quit()


def test_numbers(t):
    s = server(t, {"limits": {"errors": 100}})
    s.send(message())
    s.wait_mail()
    c = pop(s)
    for number in ("0", "-1", "2", "4294967297", "18446744073709551617", "one", ""):
        assert refused(c._shortcmd, "RETR " + number)
        assert refused(c._shortcmd, "DELE " + number)
    c.quit()


def test_only_the_services_of_the_account(t):
    s = server(t, {"users": {ANNA: {"services": ["imap"]}, BERT: {"services": ["pop3"]}}})
    assert "use IMAP instead" in refused(pop, s)
    pop(s, BERT).quit()
    client(s).close()
    try:
        client(s, BERT)
        raise AssertionError("it was let in")
    except AssertionError as e:
        assert "use POP3 instead" in str(e), e


def test_leave_on_server(t):
    s = server(t, {"users": {ANNA: {"leave_on_server": True}}})
    s.send(message("stays"))
    s.wait_mail()
    c = pop(s)
    c.dele(1)
    c.quit()
    c = pop(s)
    assert c.stat()[0] == 0
    c.quit()
    with client(s, select="INBOX") as i:
        assert i.uids() == [1]
