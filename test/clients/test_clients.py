"""Real mail clients send through submission: a login over TLS, to a colleague and to somebody elsewhere."""
import os
import shutil
import smtplib
import ssl
import subprocess

from email.message import EmailMessage
from email.policy import SMTP

from lib import ANNA, BERT, DOMAIN, HOST, PASSWORDS, ROOT, Server, Skip, message
from stub import Sink

PASSWORD = PASSWORDS[ANNA]
ELSEWHERE = "friend@example.net"


def office(t):
    """facteur as an office has it: everything goes through a smarthost, and only those who log in may use that."""
    sink = Sink(t)
    s = Server(t, {"relay": {"smarthost": {"host": HOST, "port": sink.port, "tls": "none"}}})
    return s, sink


def tool(name):
    path = shutil.which(name)
    if path is None:
        raise Skip("%s is not installed" % name)
    return path


def run(*command, stdin="", env=None):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, env=dict(os.environ, **(env or {})))
    assert done.returncode == 0, "%s: exit status %d\n%s\n%s" % (command[0], done.returncode, done.stdout, done.stderr)
    return done


def arrived(s, sink, subject, count=1):
    text = ("Subject: " + subject).encode()
    stored = s.wait_mail(BERT, count)[-1]
    # ESMTPSA, or UTF8SMTPSA (RFC 6531 4.3): msmtp of Debian 13 gives SMTPUTF8 with every message
    assert text in stored and b"SMTPSA (" in stored, stored
    assert text in sink.wait(count)[-1]["data"]


def test_swaks(t):
    s, sink = office(t)
    tool("swaks")
    common = ["swaks", "--server", HOST, "--from", ANNA, "--to", "%s,%s" % (BERT, ELSEWHERE), "--auth-user", ANNA,
              "--auth-password", PASSWORD, "--h-Subject", "by swaks", "--timeout", "20"]
    run(*common, "--port", str(s.ports["submission", "starttls"]), "--tls", "--auth", "PLAIN")
    arrived(s, sink, "by swaks", 1)
    run(*common, "--port", str(s.ports["submission", "implicit"]), "--tls-on-connect", "--auth", "LOGIN")
    arrived(s, sink, "by swaks", 2)


def test_curl(t):
    s, sink = office(t)
    tool("curl")
    for count, (scheme, tls) in enumerate((("smtp", "starttls"), ("smtps", "implicit")), 1):
        run("curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", s.certificate,
            "--connect-to", "::%s:" % HOST, "--url", "%s://localhost:%d" % (scheme, s.ports["submission", tls]),
            "--user", "%s:%s" % (ANNA, PASSWORD), "--mail-from", ANNA, "--mail-rcpt", BERT, "--mail-rcpt", ELSEWHERE,
            "--upload-file", "-", stdin=message("by curl", sender=ANNA).decode())
        arrived(s, sink, "by curl", count)


def test_msmtp(t):
    s, sink = office(t)
    tool("msmtp")
    for count, (starttls, tls, auth) in enumerate((("on", "starttls", "plain"), ("off", "implicit", "login"),
                                                   ("on", "starttls", "on")), 1):
        rc = os.path.join(t.dir, "msmtprc")
        with open(rc, "w", encoding="utf-8") as out:
            out.write("account default\nhost localhost\nport %d\nfrom %s\nauth %s\nuser %s\npassword %s\ntls on\n"
                      "tls_starttls %s\ntls_trust_file %s\n" % (s.ports["submission", tls], ANNA, auth, ANNA, PASSWORD,
                                                                starttls, s.certificate))
        os.chmod(rc, 0o600)
        run("msmtp", "--file", rc, BERT, ELSEWHERE, stdin=message("by msmtp", sender=ANNA).decode().replace("\r\n", "\n"))
        arrived(s, sink, "by msmtp", count)


def test_smtplib(t):
    s, sink = office(t)
    context = ssl.create_default_context(cafile=s.certificate)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = ANNA, "%s, %s" % (BERT, ELSEWHERE), "by smtplib"
    mail.set_content("Gr\u00fc\u00dfe\n.\n..\n")
    mail.add_attachment(os.urandom(200000), maintype="application", subtype="octet-stream", filename="a.bin")
    with smtplib.SMTP("localhost", s.ports["submission", "starttls"], timeout=20) as c:
        c.starttls(context=context)
        c.login(ANNA, PASSWORD)
        assert not c.send_message(mail)
    arrived(s, sink, "by smtplib", 1)
    with smtplib.SMTP_SSL("localhost", s.ports["submission", "implicit"], context=context, timeout=20) as c:
        c.login(ANNA, PASSWORD)
        assert not c.send_message(mail)
        refused = c.sendmail(ANNA, [BERT, "nobody@" + DOMAIN, ELSEWHERE], mail.as_bytes(policy=SMTP))
        assert list(refused) == ["nobody@" + DOMAIN] and refused["nobody@" + DOMAIN][0] == 550, refused
    arrived(s, sink, "by smtplib", 3)


def test_nodemailer(t):
    s, sink = office(t)
    tool("node")
    modules = os.path.join(ROOT, "build", "nodemailer", "node_modules")
    if not os.path.isdir(os.path.join(modules, "nodemailer")):
        raise Skip("nodemailer is not installed (test/run.sh does it with npm)")
    run("node", os.path.join(ROOT, "test", "clients", "nodemailer.js"), env={
        "NODE_PATH": modules, "STARTTLS_PORT": str(s.ports["submission", "starttls"]),
        "TLS_PORT": str(s.ports["submission", "implicit"]), "CERTIFICATE": s.certificate, "LOGIN": ANNA,
        "PASSWORD": PASSWORD, "TO": "%s, %s" % (BERT, ELSEWHERE)})
    arrived(s, sink, "by nodemailer", 3)
