"""The dialogues of this folder (README.md) over sockets, against the whole program.

Some are for the played world of test/unit/proto alone, and are no tests here: IN_PROCESS_ONLY. The client comes through a
PROXY header as a stranger, for to a client on loopback some refusals do not apply. A stranger's message without a From
field is refused by policy, which these dialogues know nothing of: it is put in front of the first line.
"""
import glob
import os
import re

from lib import DOMAIN, Server, Smtp, listener, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
IN_PROCESS_ONLY = re.compile(
    r"tempfail|nodata|refused@|refused\.example"  # people whom no policy can make
    r"|SET (message-size|no-auth)|SET (errors|commands) [0-9]$"  # limits that no policy may have
    r"|BODY=BINARYMIME|BDAT [0-9]+ LAST"  # a From field cannot be put in
    r"|554 5\.7\.1", re.M)  # the played world's word for what the policy says otherwise
HASHES = ["$6$rounds=1000$facteurtest$lCpImokkhOG0fJofO.hRIZqqaNmu8GoqT1sX5zL4DEbxdkSWD0lDE1lgBVNRwtJNkfQ6pG.MF3NC/c9dW7AG6.",
          "{SCRAM-SHA-256}4096,ZmFjdGV1cnRlc3QxMjM0NQ==,sRTpiW0Zj3hwmO5DKDAGMSySnZkI6N8ld6XahHDlbmA=,"
          "VkQgOJAaPPlzIvAhWAK+zcFTFLS9+uYs15azdtU15Kg="]


def octets(text):
    def one(m):
        return {"r": "\r", "n": "\n", "0": "\0", "\\": "\\"}.get(m.group(1)) or chr(int(m.group(2), 16))
    return re.sub(r"\\(x([0-9A-Fa-f]{2})|[rn0\\])", one, text).encode("latin-1")


def policy(text, settings):
    """The world of the README."""
    people = set(re.findall(r"(?i)<\"?([a-z][a-z0-9._-]*)\"?(?:\+[a-z0-9]+)?@example\.org>", text))
    people |= {"bob", "carol", "j\u00fcrgen"}
    service = "submission" if "submission" in settings else "smtp"
    tls = "implicit" if "tls" in settings else "none" if "no-tls" in settings else "starttls"
    stranger = "plain-auth" not in settings
    return {
        "listen": [listener(service, tls, proxy_from=["127.0.0.1/32"] if stranger else [],
                            fix_bare_newlines="fix-bare-newlines" in settings)],
        "users": {"anna@example.org": None, "bert@example.org": None, "alice@example.org": {"password": HASHES, "senders": ["*"]}},
        "domains": {DOMAIN: {"aliases": dict({name.lower(): ["alice"] for name in people - {"alice", "unknown"}},
                                             info=None, all=None)}},
        "relay": {"trusted": ["192.0.2.7/32"] if "trusting" in settings else [],
                  "smarthost": {"host": "127.0.0.1", "port": 9, "tls": "none"}},
        "limits": {"line_length": 4096, "errors": int(settings.get("errors", 20)), "commands": int(settings.get("commands", 100)),
                   "auth_failures": 3, "recipients": int(settings.get("recipients", 100)), "rate_exempt": ["0.0.0.0/0"]},
    }


def run(t, path):
    with open(path, encoding="latin-1") as f:
        text = f.read()
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    settings = dict((line.split() + [""])[1:3] for line in lines if line.startswith("SET "))
    s = Server(t, policy(text, settings))
    (service, tls), port = list(s.ports.items())[0]
    c = Smtp(port, greet=False)
    if "plain-auth" not in settings:
        c.raw(b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 25\r\n")
    if tls == "implicit":
        c.wrap()
    pending, in_data = b"", False
    for number, line in enumerate(lines, 1):
        verb, _, rest = line.partition(" ")
        where = "%s, line %d: %s" % (os.path.basename(path), number, line)
        if verb in ("C:", "C|"):
            if in_data and b"From:" not in pending:
                pending += b"From: <sender@example.net>\r\n"
            in_data = False
            pending += octets(rest) + (b"\r\n" if verb == "C:" else b"")
            continue
        if verb == "FILL":
            count, character = rest.split()
            pending += character.encode() * int(count)
            continue
        if pending:
            try:
                c.raw(pending)
            except ConnectionError:
                pass  # closed already: what it said before is still to be read
            pending = b""
        if verb in ("S:", "S*"):
            while True:
                got = c.line()
                assert got.startswith(rest.strip()), "%s\ngot: %s" % (where, got)
                if verb == "S:" or got[3:4] != "-":
                    break
            in_data = got.startswith("354")
        elif verb == "TLS":
            c.wrap()
        elif verb == "CLOSED":
            assert c.is_closed(), where
            assert not c.buffer, "%s\nit still says: %r" % (where, c.buffer)
        elif verb == "STORED":
            wait_until("%s messages" % rest, lambda: s.json("status") and s.log(own=True).count("event=accepted") == int(rest))
    c.close()
    if "STORED" not in text:
        assert "event=accepted" not in s.log(own=True)


def make(path):
    return lambda t: run(t, path)


for file in sorted(glob.glob(os.path.join(HERE, "*.txt"))):
    with open(file, encoding="latin-1") as dialogue:
        if not IN_PROCESS_ONLY.search(dialogue.read()):
            globals()["test_" + os.path.basename(file)[:-4].replace("-", "_")] = make(file)
