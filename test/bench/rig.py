"""The servers side by side, each in directories of its own on loopback, and what loads them."""
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import types

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import lib  # noqa: E402
import measure  # noqa: E402
from lib import HOST, NOBODY, ROOT, wait_until  # noqa: E402

DOMAIN = "bench.example"
ELSEWHERE = "elsewhere.example"
USER = "user@" + DOMAIN
# smtp-source names 20 recipients 20user@, 19user@ … 2user@ and user@.
MAILBOXES = ["user"] + ["%duser" % i for i in range(2, 21)]
CONCURRENCY = 20  # connections to the sink, Postfix's default


def free_port():
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


def listens(port):
    with socket.socket() as s:
        return s.connect_ex((HOST, port)) == 0


class Facteur:
    name = "facteur"

    def __init__(self, folder, binary, sink_port):
        t = types.SimpleNamespace(binary=lib.reachable(os.path.abspath(binary), folder), dir=folder, servers=[])
        self.server = lib.Server(t, {
            "default_domain": DOMAIN,
            "domains": {lib.DOMAIN: None, DOMAIN: {}},
            "users": dict({lib.ANNA: None, lib.BERT: None}, **{"%s@%s" % (m, DOMAIN): {} for m in MAILBOXES}),
            "relay": {"trusted": ["127.0.0.0/8"], "smarthost": {"host": HOST, "port": sink_port, "tls": "none"}},
            "limits": {"message_rate": 0, "connection_rate": 0, "connections": 5000, "connections_per_address": 5000},
            "queue": {"retry": ["5s"], "destination_concurrency": CONCURRENCY},
        }, tls=False)
        self.port = self.server.ports["smtp", "none"]

    @property
    def pid(self):
        return self.server.process.pid

    def folders(self):
        return [os.path.join(self.server.maildir("%s@%s" % (m, DOMAIN)), "new") for m in MAILBOXES]

    def status(self):
        answer = self.server.ask(do="status")
        return answer.get("status", answer)

    def is_settled(self):
        """Nothing is under way: what was delivered is durable, and its rows are gone."""
        return self.status()["mail"]["active"] == 0

    def relayed(self):
        return self.status()["mail"]["relayed"]

    def has_relayed(self, count):
        """Counted since the start; only later is it durable that they are gone."""
        return self.relayed() >= count

    def stop(self):
        self.server.stop()


MAIN_CF = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
mail_owner = postfix
maillog_file = {dir}/log/postfix.log
maillog_file_prefixes = {dir}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.org
mydestination =
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink}
default_process_limit = {processes}
message_size_limit = 51200000
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = texthash:{dir}/mailboxes
virtual_mailbox_limit = 0
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
alias_maps =
smtp_tls_security_level = none
"""
MASTER_CF = """
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """Debian's Postfix with its own configuration, queue and data; the system's, if there is one, is left alone. Its
    settings are the defaults but for the process limit where a case says so."""

    name = "postfix"

    @staticmethod
    def why_not():
        if shutil.which("postfix") is None:
            return "Postfix is not installed"
        if os.geteuid() != 0:
            return "only root starts Postfix"
        try:
            pwd.getpwnam("postfix")
        except KeyError:
            return "Postfix has no user of its own here"
        return None

    def __init__(self, folder, sink_port, processes=100, name="postfix"):
        self.dir = os.path.join(folder, name)
        for sub in ("", "queue", "data", "mail", "log"):
            os.mkdir(os.path.join(self.dir, sub), 0o755)
        shutil.chown(os.path.join(self.dir, "data"), "postfix")
        lib.give(os.path.join(self.dir, "mail"))
        self.port = free_port()
        self.write("main.cf", MAIN_CF.format(dir=self.dir, domain=DOMAIN, uid=NOBODY.pw_uid, gid=NOBODY.pw_gid,
                                             sink=sink_port, processes=processes))
        self.write("master.cf", MASTER_CF.format(port="%s:%d" % (HOST, self.port)))
        self.write("mailboxes", "".join("%s@%s %s/\n" % (m, DOMAIN, m) for m in MAILBOXES))
        for name in ("dynamicmaps.cf", "postfix-files"):
            if os.path.exists("/etc/postfix/" + name):
                shutil.copy("/etc/postfix/" + name, self.dir)
        self.pid = None
        done = self.run("start")
        if done.returncode != 0:
            raise RuntimeError("postfix start: " + done.stdout + done.stderr)
        wait_until("Postfix", lambda: listens(self.port), 30)
        with open(os.path.join(self.dir, "queue", "pid", "master.pid"), encoding="ascii") as f:
            self.pid = int(f.read())

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="utf-8") as out:
            out.write(text)

    def run(self, verb):
        return subprocess.run(["postfix", "-c", self.dir, verb], capture_output=True, text=True, timeout=60)

    def folders(self):
        return [os.path.join(self.dir, "mail", m, "new") for m in MAILBOXES]

    def is_settled(self):
        queue = os.path.join(self.dir, "queue")
        return not any(os.listdir(os.path.join(queue, q)) for q in ("maildrop", "incoming", "active"))

    def relayed(self):
        return 0

    def has_relayed(self, _):
        return self.is_settled()

    def stop(self):
        processes = list(measure.tree(self.pid)) if self.pid else []
        self.run("stop")
        for pid in processes:  # what did not end by itself; all of them were descendants of our master
            try:
                with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace"):
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                pass


class Sink:
    """Postfix's smtp-sink, the next hop that takes everything."""

    def __init__(self, port):
        self.port = port
        user = ["-u", NOBODY.pw_name] if NOBODY else []
        self.process = subprocess.Popen(["smtp-sink", *user, "%s:%d" % (HOST, port), "1000"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL)
        wait_until("smtp-sink", lambda: listens(port))

    def stop(self):
        self.process.kill()
        self.process.wait()


def build_load(folder):
    """The generator's program, compiled into `folder`."""
    program = os.path.join(folder, "load")
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-o", program, os.path.join(HERE, "load.c")],
                   check=True)
    return program


class Load:
    """Sends messages to a server, with smtp-source or with load.c, which say the same."""

    def __init__(self, folder):
        self.own = build_load(folder)
        self.smtp_source = shutil.which("smtp-source")

    def command(self, source, port, case, count, to):
        same = ["-f", "sender@client.example", "-t", to, "-s", str(min(case.sessions, count)), "-m", str(count),
                "-l", str(case.octets), "-r", str(case.recipients), *(["-d"] if case.keep else [])]
        if source == "smtp-source":
            return ["smtp-source", "-4", "-M", "client.example", "-C", "10", *same, "%s:%d" % (HOST, port)]
        return [self.own, *same, *case.more, HOST, str(port)]

    def run(self, source, port, case, count, to=USER):
        """{seconds, cpu} and with load.c the times of single messages."""
        began = time.perf_counter()
        process = subprocess.Popen(self.command(source, port, case, count, to), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = process.stdout.read()
        complaint = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        process.stderr.close()
        if process.returncode != 0:
            raise RuntimeError("%s: %s" % (source, complaint.decode("utf-8", "replace").strip()[-500:]))
        result = {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime}
        return dict(result, **json.loads(said)) if source == "load" else result

    def idle_sessions(self, port, count):
        """A process that holds so many sessions after EHLO until its standard input is closed."""
        process = subprocess.Popen([self.own, "-i", "-s", str(count), HOST, str(port)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        if process.stdout.readline() != b"ready\n":
            process.kill()
            process.wait()
            raise RuntimeError("%d idle sessions did not come about" % count)
        return process
