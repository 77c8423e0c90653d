"""auth.cache: who has proved a password lately does not wait for its hash again, in whatever protocol; nobody else gains."""
import poplib
import re

from imap import Imap, server
from lib import ANNA, BERT, DOMAIN, HASHES, HOST, PASSWORDS, listener, wait_until

LISTEN = [listener("smtp", "none"), listener("submission", "implicit"), listener("imap", "none"),
          listener("pop3", "none")]


def mechanisms(s, user=ANNA):
    """How the logins so far were judged."""
    return re.findall(r"event=login .*user=%s mechanism=(\S+)" % re.escape(user), s.log(own=True))


def imap(s, user=ANNA, password=None, status="OK"):
    with Imap(s.ports["imap", "none"]) as c:
        return c.do('LOGIN "%s" "%s"' % (user, password or PASSWORDS[user]), status).final


def test_serves_all_protocols(t):
    s = server(t, {"listen": LISTEN})
    imap(s)
    imap(s)
    with s.connect("submission", "implicit") as c:
        c.ehlo()
        c.auth_plain("anna", PASSWORDS[ANNA])  # the same account by its other name
    p = poplib.POP3(HOST, s.ports["pop3", "none"], timeout=30)
    p.user(ANNA)
    p.pass_(PASSWORDS[ANNA])
    assert p.stat() == (0, 0)
    p.quit()
    assert mechanisms(s) == ["password"] + ["password-again"] * 3, mechanisms(s)


def test_off(t):
    s = server(t, {"listen": LISTEN, "auth": {"cache": 0}})
    imap(s)
    imap(s)
    assert mechanisms(s) == ["password"] * 2


def test_expires(t):
    s = server(t, {"listen": LISTEN, "auth": {"cache": "100ms"}})
    imap(s)

    def hashed_again():
        imap(s)
        return mechanisms(s).count("password") > 1
    wait_until("the password to be hashed again", hashed_again)


def test_wrong_is_wrong_and_late(t):
    """A right password of the same moment helps no wrong one; wrong ones are hashed, counted and late as ever."""
    s = server(t, {"listen": LISTEN, "limits": {"rate_exempt": [], "auth_failure_rate": 2, "auth_failures": 100}})
    imap(s)
    texts = set()
    for user, password in ((BERT, PASSWORDS[ANNA]), ("nobody@" + DOMAIN, PASSWORDS[ANNA])):
        texts.add(imap(s, user, password, "NO").split(b" ", 1)[1])
    assert len(texts) == 1, texts
    assert re.findall(r"event=login-failed .*delay_ms=(\d+)", s.log(own=True)) == ["1000", "2000"]
    assert b"[UNAVAILABLE]" in imap(s, ANNA, status="NO"), "the limit comes before what is kept"
    assert mechanisms(s) == ["password"]


def test_a_new_policy_ends_it(t):
    s = server(t, {"listen": LISTEN})
    imap(s)
    imap(s, BERT)
    s.reload(users={ANNA: {"password": HASHES[BERT]}, BERT: {"enabled": False}})
    imap(s, ANNA, PASSWORDS[ANNA], "NO")
    imap(s, BERT, PASSWORDS[BERT], "NO")
    imap(s, ANNA, PASSWORDS[BERT])
    assert mechanisms(s) == ["password"] * 2 and mechanisms(s, BERT) == ["password"]
    reasons = re.findall(r'event=login-failed .*user=(\S+) reason="([^"]+)"', s.log(own=True))
    assert reasons == [(ANNA, "wrong password"), (BERT, "the account is switched off")], reasons


def test_services_count_each_time(t):
    s = server(t, {"listen": LISTEN, "users": {ANNA: {"services": ["submission", "pop3"]}}})
    for _ in range(2):
        with s.connect("submission", "implicit") as c:
            c.ehlo()
            c.auth_plain(ANNA, PASSWORDS[ANNA])
    assert mechanisms(s) == ["password", "password-again"]
    assert b"use POP3 instead" in imap(s, status="NO")
