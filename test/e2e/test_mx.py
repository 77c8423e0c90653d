"""Direct delivery to MX hosts on port 25: in a network of its own, where 192.0.2.0/24 is this machine and nobody else.

The addresses belong to no interface (a route says that they are local), for a server's own addresses are no next hops.
"""
import ctypes
import os
import socket
import struct

from lib import ANNA, Server, Skip, message, wait_until
from stub import Dns, Sink

CLONE_NEWNET, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x8914, 1
NETWORK, HOSTS = "192.0.2.0", "192.0.2.%d"


def private_network():
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNET) != 0:
        raise Skip("no right to a network namespace")
    import fcntl
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    # ip route add local 192.0.2.0/24 dev lo
    rtmsg = struct.pack("=BBBBBBBBI", socket.AF_INET, 24, 0, 0, 255, 4, 254, 2, 0)  # table local, static, host, RTN_LOCAL
    attributes = struct.pack("=HH4s", 8, 1, socket.inet_aton(NETWORK)) + struct.pack("=HHi", 8, 4, socket.if_nametoindex("lo"))
    body = rtmsg + attributes
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as n:
        n.send(struct.pack("=IHHII", 16 + len(body), 24, 0x605, 1, 0) + body)  # RTM_NEWROUTE, create, ask for an answer
        answer = n.recv(4096)
    error = struct.unpack("=i", answer[16:20])[0]
    assert error == 0, os.strerror(-error)


def office(t, zone, **more):
    private_network()
    dns = Dns(t, zone)
    s = Server(t, dict({"dns": {"servers": [dns.address]}, "relay": {"trusted": ["127.0.0.1/32"]},
                        "queue": {"retry": ["500ms"]}}, **more))
    return s, dns


def hop(t, number, answer=None, **more):
    return Sink(t, answer, host=HOSTS % number, port=25, **more)


def test_preference_and_fall_back_to_the_next_host(t):
    s, dns = office(t, {
        ("example.net", "MX"): [(20, "second.example.net"), (10, "first.example.net"), (5, "dead.example.net")],
        ("dead.example.net", "A"): [HOSTS % 9], ("first.example.net", "A"): [HOSTS % 10], ("second.example.net", "A"): [HOSTS % 20]})
    first, second = hop(t, 10), hop(t, 20)
    s.send(message("by preference", sender=ANNA), to=["x@example.net"], sender=ANNA)
    first.wait()
    assert not second.messages
    s.wait_queue_empty()
    first.stop()
    s.send(message("next one", sender=ANNA), to=["x@example.net"], sender=ANNA)
    second.wait()


def test_busy_host_is_passed_over(t):
    s, dns = office(t, {("example.net", "MX"): [(10, "a.example.net"), (20, "b.example.net")],
                        ("a.example.net", "A"): [HOSTS % 10], ("b.example.net", "A"): [HOSTS % 20]})
    busy = hop(t, 10, lambda verb, argument, session: "421 4.3.2 too busy" if verb == "CONNECT" else None)
    other = hop(t, 20)
    s.send(message(sender=ANNA), to=["x@example.net"], sender=ANNA)
    other.wait()
    assert busy.sessions >= 1


def test_refusal_is_final_although_there_are_other_hosts(t):
    s, dns = office(t, {("example.net", "MX"): [(10, "a.example.net"), (20, "b.example.net")],
                        ("a.example.net", "A"): [HOSTS % 10], ("b.example.net", "A"): [HOSTS % 20]})
    hop(t, 10, lambda verb, argument, session: "550 5.1.1 no" if verb == "RCPT" else None)
    other = hop(t, 20)
    s.send(message(sender=ANNA), to=["x@example.net"], sender=ANNA)
    assert b"5.1.1" in s.wait_mail(ANNA)[0]
    assert not other.messages


def test_no_mx_means_the_address(t):
    s, dns = office(t, {("example.net", "A"): [HOSTS % 10]})
    sink = hop(t, 10)
    s.send(message(sender=ANNA), to=["x@example.net"], sender=ANNA)
    sink.wait()


def test_tls_is_used_when_offered_and_not_insisted_on(t):
    own = t.make_certificate("hop", "somebody-else.example")
    s, dns = office(t, {("example.net", "MX"): [(10, "a.example.net")], ("a.example.net", "A"): [HOSTS % 10]})
    sink = hop(t, 10, certificate=own)
    s.send(message(sender=ANNA), to=["x@example.net"], sender=ANNA)
    assert sink.wait()[0]["tls"]


def test_broken_tls_falls_back_to_plain(t):
    s, dns = office(t, {("example.net", "MX"): [(10, "a.example.net")], ("a.example.net", "A"): [HOSTS % 10]})
    sink = hop(t, 10, lambda verb, argument, session: "220 go\r\nthis is no TLS" if verb == "STARTTLS" and session.number == 1
               else None, features=["STARTTLS"])
    s.send(message(sender=ANNA), to=["x@example.net"], sender=ANNA)
    wait_until("the message", lambda: s.run("queue", "flush") and sink.messages, 40)
    assert not sink.messages[0]["tls"]


def test_one_connection_for_many_messages_of_a_domain(t):
    s, dns = office(t, {("example.net", "MX"): [(10, "a.example.net")], ("a.example.net", "A"): [HOSTS % 10]},
                    queue={"destination_concurrency": 1})
    sink = hop(t, 10)
    with s.connect() as c:
        c.ehlo()
        for i in range(10):
            c.transaction(ANNA, ["x%d@example.net" % i], message(sender=ANNA))
    sink.wait(10)
    assert sink.sessions <= 2
    assert sum(kind == "MX" for _, kind in dns.queries) == 1, dns.queries


def test_mx_at_ourselves(t):
    """A35: an MX list is used only up to ourselves (RFC 5321 5.1)."""
    s, dns = office(t, {("example.net", "MX"): [(10, "mail.example.org"), (20, "b.example.net")],
                        ("mail.example.org", "A"): ["127.0.0.1"], ("b.example.net", "A"): [HOSTS % 20]})
    other = hop(t, 20)
    s.send(message(sender=ANNA), to=["x@example.net"], sender=ANNA)
    wait_until("an answer", lambda: s.mail(ANNA) or [m for m in s.queue() if m["recipients"][0]["attempts"] > 0])
    assert not other.messages
