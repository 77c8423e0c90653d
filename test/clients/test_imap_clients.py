"""Real programs read, write and synchronise mailboxes over IMAP."""
import imaplib
import os
import re
import shutil
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from imap import client, server  # noqa: E402
from lib import ANNA, HOST, ORDINARY, ROOT, Skip, message, wait_until  # noqa: E402
from tools import (PASSWORD, directory, environment, home, in_terminal, local_state, maildir, remote_state, run,
                   tool,  # noqa: E402
                   write)

FOLDERS = ("INBOX", "Archive", "Sent")


def mail(subject, body="text\n"):
    return message(subject, body.replace("\n", "\r\n"))


def drop(t, folder, subject, flags="", body="written here\n"):
    """A message that another program puts into a Maildir of ours."""
    path = os.path.join(folder, "cur", "1700000000.M1P1_%s.here:2,%s" % (re.sub(r"\W", "_", subject), flags))
    with open(path, "wb") as out:
        out.write(mail(subject, body).replace(b"\r\n", b"\n"))
    os.utime(path, (1700000000, 1700000000))  # complete for long, and shown at once
    shutil.chown(path, ORDINARY.get("user"), ORDINARY.get("group")) if ORDINARY else None


def rename(folder, subject, flags):
    """Other flags for a message of a Maildir."""
    for part in ("cur", "new"):
        for name in os.listdir(os.path.join(folder, part)):
            path = os.path.join(folder, part, name)
            with open(path, "rb") as f:
                found = ("Subject: %s\n" % subject).encode() in f.read()
            if found and flags is None:
                os.unlink(path)
            elif found:
                os.rename(path, os.path.join(folder, "cur", name.partition(":2,")[0] + ":2," + flags))


def compare(c, local, folders=FOLDERS):
    for folder in folders:
        here, there = local_state(os.path.join(local, folder)), remote_state(c, folder)
        assert here == there, "%s differs:\n%s\n%s" % (folder, sorted((k, v[0]) for k, v in here.items()),
                                                       sorted((k, v[0]) for k, v in there.items()))


def both_sides(t, s, local, sync, gone):
    """Changes on both sides, a synchronisation after each, and everything compared. `gone`: the flags of what is to go, or None
    to remove the file."""
    c = client(s)
    for n in range(6):
        c.append("INBOX", mail("there %d" % n, "line\n.\n..\nFrom here\n" + "x" * 900 + "\n"),
                 r"(\Seen)" if n % 2 else "")
    c.append("Sent", mail("sent"), r"(\Seen \Answered)")
    sync()
    compare(c, local)
    # at once: new, other flags and gone ones on both sides
    drop(t, os.path.join(local, "INBOX"), "here 1", "S")
    drop(t, os.path.join(local, "Archive"), "here 2", "FS")
    rename(os.path.join(local, "INBOX"), "there 0", "FRS")
    rename(os.path.join(local, "INBOX"), "there 1", gone)
    c.do("SELECT INBOX")
    c.do(r"STORE 3 +FLAGS (\Flagged)")
    c.do(r"STORE 4 +FLAGS (\Deleted)")
    c.do("EXPUNGE")
    c.append("INBOX", mail("there 6"))
    s.send(mail("delivered"))
    s.wait_mail(count=7)
    with client(s) as other:
        other.do("SELECT Sent")
        other.do("COPY 1 Archive")
    sync()
    sync()
    compare(c, local)
    state = remote_state(c, "INBOX")
    assert set(state) == {"there 0", "there 2", "there 4", "there 5", "there 6", "here 1", "delivered"}, sorted(state)
    assert state["there 0"][0] == "FRS" and state["there 2"][0] == "F", state
    assert set(remote_state(c, "Archive")) == {"here 2", "sent"}
    # nothing is left to do
    before = files(local)
    sync()
    assert files(local) == before
    c.close()


def files(local):
    return sorted(os.path.join(d, f) for d, _,
                  names in os.walk(local) for f in names if os.path.basename(d) in ("cur", "new"))


def test_mbsync(t):
    tool("mbsync")
    s = server(t)
    local = directory(t, "mail")
    rc = write(t, "mbsyncrc", "IMAPAccount a\nHost localhost\nPort %d\nUser %s\nPass %s\nSSLType IMAPS\nCertificateFile %s\nAuthMechs PLAIN\n\n"
               "IMAPStore far\nAccount a\n\nMaildirStore near\nPath %s/\nInbox %s/INBOX\nSubFolders Verbatim\n\n"
               "Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nRemove Both\nExpunge Both\nCopyArrivalDate yes\nSyncState *\n"
               % (s.ports["imap", "implicit"], ANNA, PASSWORD, s.certificate, local, local))

    def sync():
        run(t, "mbsync", "-c", rc, "-a")
    both_sides(t, s, local, sync, "ST")
    # folders too, on both sides
    maildir(t, "mail", "Projekte")
    drop(t, os.path.join(local, "Projekte"), "in a new folder")
    with client(s) as c:
        c.do("CREATE Fern")
        c.append("Fern", mail("in a far folder"))
        sync()
        compare(c, local, FOLDERS + ("Projekte", "Fern"))
    # the flags of 200 messages, and the expunge of half of them
    with client(s) as c:
        for n in range(200):
            c.append("Fern", mail("many %d" % n))
        sync()
        for n in range(200):
            rename(os.path.join(local, "Fern"), "many %d" % n, "FS" if n % 2 else None)
        sync()
        compare(c, local, ("Fern",))
        assert len(remote_state(c, "Fern")) == 101


def test_offlineimap(t):
    tool("offlineimap")
    s = server(t)
    local = directory(t, "mail")
    rc = write(t, "offlineimaprc",
               "[general]\naccounts = a\nmaxsyncaccounts = 1\n[Account a]\nlocalrepository = l\nremoterepository = r\n"
               "[Repository l]\ntype = Maildir\nlocalfolders = %s\n[Repository r]\ntype = IMAP\nremotehost = localhost\nremoteport = %d\n"
               "remoteuser = %s\nremotepass = %s\nssl = yes\nsslcacertfile = %s\nauth_mechanisms = PLAIN\n"
               "folderfilter = lambda name: name in %r\n" % (local, s.ports["imap", "implicit"], ANNA, PASSWORD,
                                                             s.certificate, FOLDERS))
    both_sides(t, s, local, lambda: run(t, "offlineimap", "-c", rc, "-o", "-u", "quiet"), None)


MUTT = ("set ssl_ca_certificates_file=%s\nset imap_user=%s\nset imap_pass=\"%s\"\nset confirmappend=no\n"
        "set confirmcreate=no\nset delete=yes\nset quit=yes\nset move=no\nset mark_old=no\nset auto_tag=no\nset wait_key=no\n"
        "set folder=%s\nset record=\nset header_cache=\nset imap_check_subscribed=no\nset imap_passive=no\nset tmpdir=%s\nset mail_check=0\n"
        "set sleep_time=0\n")


def mutt_reads(t, program, tls):
    """Flags, saves to another mailbox, deletes and marks as read, over IMAP."""
    s = server(t)
    with client(s) as c:
        for n in range(5):
            c.append("INBOX", mail("number %d" % n))
        scheme, port = ("imaps", s.ports["imap", "implicit"]) if tls == "implicit" else ("imap",
            s.ports["imap", "starttls"])
        url = "%s://localhost:%d/" % (scheme, port)
        rc = write(t, "muttrc", MUTT % (s.certificate, ANNA, PASSWORD, url,
                                        home(t)) + "set ssl_starttls=yes\nset ssl_force_tls=yes\n")
        in_terminal(t, program, "-n", "-F", rc, "-f", url + "INBOX", "-e",
                    'push "<search>~s number.1<enter><flag-message><search>~s number.2<enter><save-message>=Archive<enter>'
                    '<search>~s number.3<enter><delete-message><search>~s number.4<enter><display-message><exit><sync-mailbox><quit>"')
        state = remote_state(c, "INBOX")
        assert set(state) == {"number 0", "number 1", "number 4"}, sorted(state)
        assert "F" in state["number 1"][0] and state["number 4"][0] == "S" and state["number 0"][0] == "", state
        assert set(remote_state(c, "Archive")) == {"number 2"}


def test_mutt(t):
    mutt_reads(t, tool("mutt"), "implicit")


def test_neomutt(t):
    mutt_reads(t, tool("neomutt"), "starttls")


def test_mutt_in_the_same_maildir(t):
    """While two sessions are open, one of them idle, mutt works on the same files."""
    tool("mutt")
    s = server(t)
    with client(s) as c, client(s) as idle:
        for n in range(5):
            c.append("INBOX", mail("number %d" % n))
        c.do("SELECT INBOX")
        idle.do("SELECT INBOX")
        tag = idle.send("IDLE")
        assert idle.line().startswith(b"+")
        folder = s.maildir()
        rc = write(t, "muttrc", MUTT % (s.certificate, ANNA, PASSWORD, folder,
                                        home(t)) + "set mbox_type=Maildir\nset maildir_trash=no\n")
        for number, keys in (("1", "<flag-message>"), ("2", "<delete-message>"),
                             ("3", "<display-message><exit><save-message>%s/.Archive<enter>" % folder)):
            in_terminal(t, "mutt", "-n", "-F", rc, "-f", folder, "-e",
                        'push "<search>~s number.%s<enter>%s<sync-mailbox><quit>"' % (number, keys))

        def seen():
            c.do("NOOP")
            return [int(m.group(1)) for m in c.do("UID FETCH 1:* (UID)").all(rb"UID (\d+)")] == [1, 2, 5]
        wait_until("mutt's changes", seen)
        assert c.do("UID FETCH 2 FLAGS").find(rb"\\Flagged")
        gone = []
        while len(gone) < 2:
            line = idle.line()
            gone += [line] if line.endswith(b"EXPUNGE") else []
        idle.raw(b"DONE\r\n")
        idle.wait(tag)
        assert sorted(idle.uids()) == [1, 2, 5]
        wait_until("the archived one", lambda: set(remote_state(c, "Archive")) == {"number 3"})
        # a message of mutt's own
        run(t, "mutt", "-n", "-F", rc, "-e", "set copy=yes record=%s/.Sent sendmail=/bin/true" % folder, "-s",
            "from mutt", ANNA, stdin="written in mutt\n")
        wait_until("the copy of what was sent", lambda: "from mutt" in remote_state(c, "Sent"))


def test_curl(t):
    tool("curl")
    s = server(t)
    with client(s) as c:
        c.append("INBOX", mail("first"))
        c.append("INBOX", mail("second", "zebra\n"))
    for scheme, tls in (("imap", "starttls"), ("imaps", "implicit")):
        base = "%s://localhost:%d/" % (scheme, s.ports["imap", tls])
        common = ["curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", s.certificate, "--user",
                  "%s:%s" % (ANNA, PASSWORD),
                  "--connect-to", "::%s:" % HOST]
        assert "* LIST (" in run(t, *common, base).stdout
        assert "Subject: first" in run(t, *common, base + "INBOX;UID=1").stdout
        assert "zebra" in run(t, *common, base + "INBOX;UID=2;SECTION=TEXT").stdout
        assert "* SEARCH 2" in run(t, *common, base + "INBOX?TEXT%20zebra").stdout
        assert "EXISTS" in run(t, *common, base + "INBOX", "-X", "EXAMINE INBOX").stdout
        run(t, *common, base + "Archive", "--upload-file", write(t, "upload", mail("by curl %s" % tls).decode()))
        assert "FLAGS" in run(t, *common, base + "INBOX", "-X", "STORE 1 +Flags \\Flagged").stdout
    with client(s) as c:
        assert set(remote_state(c, "Archive")) == {"by curl starttls", "by curl implicit"}
        assert "F" in remote_state(c, "INBOX")["first"][0]


def test_imapflow(t):
    tool("node")
    modules = os.path.join(ROOT, "build", "imapflow", "node_modules")
    if not os.path.isdir(os.path.join(modules, "imapflow")):
        raise Skip("imapflow is not installed (test/run.sh does it with npm)")
    s = server(t, {"users": {ANNA: {"quota": "100 MiB"}}})
    with client(s) as c:
        c.append("INBOX", mail("first"))
    for tls in ("implicit", "starttls"):
        process = subprocess.Popen(["node", os.path.join(ROOT, "test", "clients", "imapflow.js")],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, env=dict(environment(t), NODE_PATH=modules,
                                                       PORT=str(s.ports["imap", tls]), TLS=tls,
                                                       CERTIFICATE=s.certificate, LOGIN=ANNA, PASSWORD=PASSWORD))
        said = []
        for line in process.stdout:
            said.append(line)
            if line.strip() == "idle":
                s.send(mail("pushed " + tls))
        assert process.wait(30) == 0, "".join(said)
        assert "all is well" in said[-1], "".join(said)


def test_imaplib(t):
    s = server(t)
    context = ssl.create_default_context(cafile=s.certificate)
    for tls in ("implicit", "starttls"):
        if tls == "implicit":
            c = imaplib.IMAP4_SSL("localhost", s.ports["imap", tls], ssl_context=context, timeout=20)
        else:
            c = imaplib.IMAP4("localhost", s.ports["imap", tls], timeout=20)
            assert c.starttls(context)[0] == "OK"
        assert "IMAP4REV1" in c.capabilities
        c.login(ANNA, PASSWORD) if tls == "implicit" else c.authenticate("PLAIN",
            lambda _: b"\0%s\0%s" % (ANNA.encode(), PASSWORD.encode()))
        assert c.list()[0] == "OK" and len(c.list()[1]) >= 6 and c.namespace()[1] == [b'(("" "/")) NIL NIL']
        assert c.create("box")[0] == "OK" and c.subscribe("box")[0] == "OK" and b"box" in b"".join(c.lsub()[1])
        for n in range(3):
            status, data = c.append("box", r"(\Seen)", imaplib.Time2Internaldate(1700000000 + n), mail("n%d" % n))
            assert status == "OK" and b"APPENDUID" in data[0], data
        assert c.select("box") == ("OK", [b"3"])
        assert c.search(None, "SUBJECT", "n1") == ("OK", [b"2"]) and c.uid("SEARCH", None, "ALL") == ("OK", [b"1 2 3"])
        assert c.sort("(REVERSE SUBJECT)", "UTF-8", "ALL") == ("OK", [b"3 2 1"]) and c.thread("REFERENCES", "UTF-8",
            "ALL")[0] == "OK"
        status, data = c.fetch("2", "(UID BODY.PEEK[] INTERNALDATE)")
        assert status == "OK" and b"Subject: n1\r\n" in data[0][1], data
        assert b"\\Flagged" in c.store("2", "+FLAGS", r"(\Flagged)")[1][0]
        assert c.copy("1:2", "Archive")[0] == "OK" and c.status("Archive", "(MESSAGES)")[0] == "OK"
        c.store("2", "+FLAGS", r"(\Deleted)")
        assert c.expunge() == ("OK", [b"2"])
        # IDLE by hand, which this library learns with Python 3.14
        c.send(b"X1 IDLE\r\n")
        assert c.readline().startswith(b"+")
        with client(s) as other:
            other.append("box", mail("pushed"))
        while b"EXISTS" not in c.readline():
            pass
        c.send(b"DONE\r\n")
        while not c.readline().startswith(b"X1 OK"):
            pass
        assert c.rename("box", "box2")[0] == "OK" and c.select("box2")[0] == "OK" and c.close()[0] == "OK"
        assert c.delete("box2")[0] == "OK" and c.unsubscribe("box")[0] == "OK"
        c.logout()
