"""Real programs fetch mail over POP3 (and two of them over IMAP)."""
import os
import poplib
import ssl
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from imap import client, server  # noqa: E402
from lib import ANNA, HOST, message  # noqa: E402
from tools import PASSWORD, directory, maildir, plain, run, subject, tool, write  # noqa: E402

SUBJECTS = ["number %d" % n for n in range(4)]


def filled(t, **more):
    s = server(t, **more)
    with client(s) as c:
        for name in SUBJECTS:
            c.append("INBOX", message(name, ".\r\n..\r\nFrom here\r\n" + "x" * 900 + "\r\n"))
    return s


def left(s):
    with client(s, select="INBOX") as c:
        return len(c.uids())


def fetched(folder):
    out = []
    for part in ("new", "cur"):
        for name in os.listdir(os.path.join(folder, part)):
            with open(os.path.join(folder, part, name), "rb") as f:
                out.append(plain(f.read()))
    return out


def complete(messages, count=len(SUBJECTS)):
    assert sorted(subject(m) for m in messages) == sorted(SUBJECTS)[:count], [subject(m) for m in messages]
    for m in messages:
        assert m.endswith(b"\n.\n..\nFrom here\n" + b"x" * 900 + b"\n"), m[-1000:]


def test_fetchmail(t):
    tool("fetchmail")
    for protocol, tls in (("POP3", "implicit"), ("POP3", "starttls"), ("IMAP", "implicit")):
        s = filled(t, name=protocol + tls)
        box = os.path.join(directory(t, "fetched-" + protocol + tls), "box")
        service = protocol.lower()
        rc = write(t, "fetchmailrc", 'poll localhost service %d protocol %s username "%s" password "%s" %s sslcertck sslcertfile "%s" '
                   'fetchall nokeep mda "cat >> %s; printf \'\\n===\\n\' >> %s"\n'
                   % (s.ports[service, tls], protocol, ANNA, PASSWORD,
                      "ssl" if tls == "implicit" else "sslproto TLS1.2+", s.certificate, box, box))
        run(t, "fetchmail", "-f", rc, "--nodetach", "--nosyslog", "-i",
            os.path.join(directory(t, "fetched-" + protocol + tls), "ids"))
        with open(box, "rb") as f:
            messages = [m for m in f.read().split(b"\n===\n") if m]
        complete([plain(m) for m in messages])
        assert left(s) == 0
        run(t, "fetchmail", "-f", rc, "--nodetach", "--nosyslog", good=(1,))  # 1: there is no new mail
        s.stop()


def test_mpop(t):
    tool("mpop")
    s = filled(t)
    for number, (starttls, tls, auth,
                 keep) in enumerate((("on", "starttls", "plain", "on"), ("off", "implicit", "user", "on"),
                                     ("off", "implicit", "on", "off"))):
        folder = maildir(t, "mpop%d" % number)
        rc = write(t, "mpoprc", "account a\nhost localhost\nport %d\nuser %s\npassword %s\nauth %s\ntls on\ntls_starttls %s\ntls_trust_file %s\n"
                   "keep %s\ndelivery maildir %s\nuidls_file %s/ids%d\nreceived_header off\npipelining on\naccount default : a\n"
                   % (s.ports["pop3", tls], ANNA, PASSWORD, auth, starttls, s.certificate, keep, folder, folder,
                      number))
        run(t, "mpop", "--file", rc)
        complete(fetched(folder))
        run(t, "mpop", "--file", rc)  # what it knows by its UIDL is not fetched again
        complete(fetched(folder))
        assert left(s) == (4 if keep == "on" else 0)


def test_getmail(t):
    tool("getmail")
    s = filled(t)
    for retriever, service, delete in (("SimplePOP3SSLRetriever", "pop3", "false"),
                                       ("SimpleIMAPSSLRetriever", "imap", "false"),
                                       ("SimplePOP3SSLRetriever", "pop3", "true")):
        name = "getmail-%s-%s" % (service, delete)
        folder = maildir(t, name)
        state = directory(t, name + "-state")
        rc = write(t, "getmailrc", "[retriever]\ntype = %s\nserver = localhost\nport = %d\nusername = %s\npassword = %s\nca_certs = %s\n"
                   "[destination]\ntype = Maildir\npath = %s/\n[options]\nread_all = false\ndelete = %s\ndelivered_to = false\nreceived = false\nverbose = 1\n"
                   % (retriever, s.ports[service, "implicit"], ANNA, PASSWORD, s.certificate, folder, delete))
        for _ in range(2):
            run(t, "getmail", "--getmaildir", state, "--rcfile", rc)
            complete(fetched(folder))
        assert left(s) == (0 if delete == "true" else 4)


def test_curl(t):
    tool("curl")
    s = filled(t)
    for scheme, tls in (("pop3", "starttls"), ("pop3s", "implicit")):
        base = "%s://localhost:%d/" % (scheme, s.ports["pop3", tls])
        common = ["curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", s.certificate, "--user",
                  "%s:%s" % (ANNA, PASSWORD),
                  "--connect-to", "::%s:" % HOST]
        listed = run(t, *common, base).stdout
        assert len(listed.split("\n")) == 5, listed
        assert "Subject: number 0" in run(t, *common, base + "1").stdout
        assert "Subject: number 1" in run(t, *common, base, "-X", "TOP 2 0").stdout
        assert len(run(t, *common, base, "-X", "UIDL").stdout.split()) == 8
    run(t, *common, base + "1", "-X", "DELE", "--head")
    assert left(s) == 3


def test_poplib(t):
    s = filled(t)
    context = ssl.create_default_context(cafile=s.certificate)
    for tls in ("implicit", "starttls"):
        if tls == "implicit":
            c = poplib.POP3_SSL("localhost", s.ports["pop3", tls], context=context, timeout=20)
        else:
            c = poplib.POP3("localhost", s.ports["pop3", tls], timeout=20)
            assert "STLS" in c.capa()
            c.stls(context)
        assert "STLS" not in c.capa() and {"TOP", "UIDL", "PIPELINING", "RESP-CODES", "USER", "SASL"} <= set(c.capa())
        c.utf8()
        c.user(ANNA)
        c.pass_(PASSWORD)
        count, octets = c.stat()
        assert count == len(c.list()[1]) == len(c.uidl()[1]) == (4 if tls == "implicit" else 3)
        text = b"\r\n".join(c.retr(count)[1]) + b"\r\n"
        assert len(text) == int(c.list(count).split()[2]) and b"\r\n.\r\n..\r\n" in text
        assert len(c.top(count, 2)[1]) < len(c.retr(count)[1])
        c.dele(1)
        c.rset()
        c.noop()
        c.dele(1)
        c.quit()
    assert left(s) == 2
