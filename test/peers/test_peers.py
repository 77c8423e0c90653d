"""Real servers as the next hop: Postfix's smtp-sink, and a whole Postfix with a configuration of its own."""
import glob
import os
import pwd
import shutil
import socket
import subprocess

from lib import ANNA, BERT, HOST, NOBODY, Server, Skip, message, wait_until

TRUSTED = ["127.0.0.1/32"]


def free_port():
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


def listens(port):
    with socket.socket() as s:
        return s.connect_ex((HOST, port)) == 0


class Process:
    def __init__(self, t, *command, **more):
        self.process = subprocess.Popen(command, **more)
        t.at_end(self)

    def stop(self):
        self.process.kill()
        self.process.wait()


def test_smtp_sink(t):
    if shutil.which("smtp-sink") is None:
        raise Skip("smtp-sink (package postfix) is not installed")
    port = free_port()
    dump = os.path.join(t.dir, "dump")
    os.mkdir(dump, 0o777)
    os.chmod(dump, 0o777)
    # As root it would drop rights by itself to a user of its choice; it is told whom.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    Process(t, "smtp-sink", *user, "-d", os.path.join(dump, "%s."), "%s:%d" % (HOST, port), "100")
    wait_until("smtp-sink", lambda: listens(port))
    s = Server(t, {"relay": {"trusted": TRUSTED, "smarthost": {"host": HOST, "port": port, "tls": "opportunistic"}},
                   "queue": {"inline_limit": "16 KiB"}})
    with s.connect() as c:
        c.ehlo()
        for i in range(100):
            body = "message %d\r\n" % i + "x" * 60 + "\r\n" + ("y" * 70 + "\r\n") * (1000 if i % 10 == 0 else 1)
            c.transaction(ANNA, ["x%d@example.net" % i], message("sunk-%d" % i, body, sender=ANNA))
    s.wait_queue_empty()
    taken = b"".join(open(path, "rb").read() for path in glob.glob(os.path.join(dump, "*")))
    missing = [i for i in range(100) if b"Subject: sunk-%d\n" % i not in taken.replace(b"\r\n", b"\n")]
    assert not missing, "not at smtp-sink: %s" % missing


MAIN_CF = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
mail_owner = postfix
maillog_file = {dir}/log/postfix.log
maillog_file_prefixes = {dir}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = peer.example.net
mydestination =
mynetworks =
virtual_mailbox_domains = example.net
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = static:box/
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_recipient_restrictions = reject_unauth_destination, check_recipient_access inline:{{ {{ refused@example.net = 550 5.1.1 not here }} }}
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
alias_maps =
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtputf8_enable = yes
authorized_submit_users =
"""
MASTER_CF = """
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """A Postfix in its own directories, on its own port; the system's is left alone."""

    def __init__(self, t):
        if shutil.which("postfix") is None:
            raise Skip("postfix is not installed")
        if os.geteuid() != 0:
            raise Skip("Postfix is started by root only")
        try:
            pwd.getpwnam("postfix")
        except KeyError:
            raise Skip("Postfix has no user of its own here") from None
        # Its sockets have long names, and all on the way must be passable for its user.
        self.dir = os.path.join(t.dir, "postfix")
        for name in ("", "queue", "data", "mail", "mail/box", "log"):
            os.mkdir(os.path.join(self.dir, name), 0o755)
        shutil.chown(os.path.join(self.dir, "data"), "postfix")
        for name in ("mail", "mail/box"):
            os.chown(os.path.join(self.dir, name), NOBODY.pw_uid, NOBODY.pw_gid)
        self.port = free_port()
        pair = t.make_certificate("peer", "peer.example.net", "localhost")
        certificate, key = (shutil.copy(path, self.dir) for path in pair)
        os.chmod(key, 0o600)
        os.chown(key, 0, 0)
        with open(os.path.join(self.dir, "main.cf"), "w", encoding="utf-8") as out:
            out.write(MAIN_CF.format(dir=self.dir, uid=NOBODY.pw_uid, gid=NOBODY.pw_gid, certificate=certificate, key=key))
        with open(os.path.join(self.dir, "master.cf"), "w", encoding="utf-8") as out:
            out.write(MASTER_CF.format(port="%s:%d" % (HOST, self.port)))
        for name in ("dynamicmaps.cf", "postfix-files"):
            if os.path.exists("/etc/postfix/" + name):
                shutil.copy("/etc/postfix/" + name, self.dir)
        t.at_end(self)
        done = self.run("start")
        if done.returncode != 0:
            raise AssertionError("postfix start: %s\n%s" % (done.stdout + done.stderr, self.log()))
        wait_until("Postfix", lambda: listens(self.port))

    def run(self, verb):
        return subprocess.run(["postfix", "-c", self.dir, verb], capture_output=True, text=True, timeout=60)

    def stop(self):
        self.run("stop")

    def log(self):
        try:
            with open(os.path.join(self.dir, "log", "postfix.log"), encoding="utf-8") as log:
                return log.read()
        except OSError:
            return ""

    def mail(self):
        return [open(path, "rb").read() for path in glob.glob(os.path.join(self.dir, "mail", "box", "new", "*"))]


def test_postfix(t):
    peer = Postfix(t)
    s = Server(t, {"relay": {"trusted": TRUSTED, "smarthost": {"host": HOST, "port": peer.port, "tls": "opportunistic"}},
                   "queue": {"inline_limit": "16 KiB"}})
    lines = ("." + "z" * 70 + "\r\n") * 4000
    try:
        with s.connect() as c:
            c.ehlo()
            c.transaction(ANNA, ["a@example.net", "b@example.net"], message("to postfix", "Gr\u00fc\u00dfe\r\n.\r\n", sender=ANNA),
                          options=" BODY=8BITMIME")
            c.transaction(ANNA, ["a@example.net"], message("large to postfix", lines, sender=ANNA))
            c.transaction(ANNA, ["refused@example.net"], message("refused by postfix", sender=ANNA))
            c.transaction(ANNA, ["m\u00fcller@example.net"], message("utf8 to postfix", sender=ANNA), options=" SMTPUTF8")
        wait_until("four messages in Postfix's mailbox", lambda: len(peer.mail()) == 4, 30)
    except TimeoutError as e:
        raise AssertionError("%s\n%s" % (e, peer.log())) from None
    stored = b"".join(peer.mail())
    for text in (b"Subject: to postfix\n", b"Subject: large to postfix\n", b"Subject: utf8 to postfix\n", "Gr\u00fc\u00dfe\n.\n".encode(),
                 lines.replace("\r\n", "\n").encode()):
        assert text in stored, text[:100]
    assert b"using TLSv1" in stored, "STARTTLS was offered and not used"
    dsn = s.wait_mail(ANNA)[0]
    assert b"5.1.1" in dsn and b"not here" in dsn, dsn
    s.wait_queue_empty()
    assert BERT not in dsn.decode()
