/* The policy file as a table: each key with its kind, default, range and meaning. Reading, messages, config_print and
 * docs/configuration.md all come from here. Offsets of the top level's sections are into struct config. */
#include "load_priv.h"

#define MS   1ULL
#define SEC  (1000 * MS)
#define MIN  (60 * SEC)
#define HOUR (60 * MIN)
#define DAY  (24 * HOUR)
#define KIB  1024ULL
#define MIB  (1024 * KIB)
#define GIB  (1024 * MIB)
#define PIB  (MIB * GIB)

#define AT(member)      offsetof(struct config, member)
#define USER(member)    offsetof(struct conf_user, member)
#define LISTEN(member)  offsetof(struct conf_listener, member)
#define HOP(member)     offsetof(struct conf_next_hop, member)
#define RANGE(low, top) .min = (low), .max = (top)

static const struct word service_words[] = { { "smtp", SERVICE_SMTP },
                                             { "submission", SERVICE_SUBMISSION },
                                             { "imap", SERVICE_IMAP },
                                             { "pop3", SERVICE_POP3 },
                                             { 0 } };
static const struct word uidl_words[] = { { "validity.uid", UIDL_VALIDITY_UID },
                                          { "dovecot", UIDL_DOVECOT },
                                          { "name", UIDL_FILE_NAME },
                                          { "uid", UIDL_UID },
                                          { 0 } };
static const struct word tls_words[] = {
    { "none", TLS_NONE }, { "starttls", TLS_STARTTLS }, { "implicit", TLS_IMPLICIT }, { 0 }
};
static const struct word hop_tls_words[] = { { "opportunistic", RELAY_TLS_OPPORTUNISTIC },
                                             { "none", RELAY_TLS_NONE },
                                             { "starttls", RELAY_TLS_STARTTLS },
                                             { "implicit", RELAY_TLS_IMPLICIT },
                                             { 0 } };
static const struct word user_service_words[] = {
    { "submission", USER_SUBMISSION }, { "imap", USER_IMAP }, { "pop3", USER_POP3 }, { 0 }
};
static const struct word mechanism_words[] = { { "PLAIN", 1 }, { "LOGIN", 2 }, { "SCRAM-SHA-256", 4 }, { 0 } };
static const struct word format_words[] = { { "logfmt", LOG_FORMAT_LOGFMT }, { "json", LOG_FORMAT_JSON }, { 0 } };
static const struct word level_words[] = { { "error", LOG_LEVEL_ERROR },
                                           { "warning", LOG_LEVEL_WARNING },
                                           { "info", LOG_LEVEL_INFO },
                                           { "debug", LOG_LEVEL_DEBUG },
                                           { 0 } };

static const struct field top_fields[] = {
    { "hostname", &type_host, AT(hostname), .required = true, .example = "mail.example.org",
      .meaning = "The server's own name: in the greeting, in EHLO, in Received fields. It should resolve to this "
                 "machine." },
    { "state", &type_path, AT(state), .preset = "/var/lib/facteur", .example = "/srv/facteur",
      .meaning = "The directory of the queue and the mailboxes." },
    { "default_domain", &type_host, AT(default_domain), .example = "example.org",
      .meaning = "Completes a login without a domain (\"anna\") and receives mail for a bare \"postmaster\". Default: "
                 "the first of `domains`." },
    { "run_as", &type_system_user, AT(run_as), .example = "facteur",
      .meaning = "The system user to become when started as root. Default: `facteur`, if there is a user of that name; "
                 "without "
                 "a user to become, the server refuses to be started by root. A change needs a restart." },
    { "listen", &type_listeners, AT(listeners), .section = &section_listener, .example = "loopback",
      .meaning = "Where clients connect: a list, or the word `loopback`. Default: see below." },
    { "tls", &type_section, 0, .section = &section_tls, .example = "{certificate: cert.pem, key: key.pem}",
      .meaning = "Certificates." },
    { "domains", &type_domain_map, 0, .section = &section_domain, .example = "{example.org: }",
      .meaning = "The domains that mail is accepted for, each with its aliases." },
    { "users", &type_user_map, 0, .section = &section_user, .example = "{anna@example.org: {password: \"$y$…\"}}",
      .meaning = "Mailboxes and logins by address." },
    { "users_file", &type_path, AT(users_file), .example = "users.yaml",
      .meaning =
          "A file with more users, in the form of `users`, which `facteur user` rewrites. It may be missing while "
          "there are none. Default: none." },
    { "auth", &type_section, 0, .section = &section_auth, .example = "{mechanisms: [PLAIN]}",
      .meaning = "Logging in." },
    { "relay", &type_section, 0, .section = &section_relay, .example = "{smarthost: smtp.isp.example}",
      .meaning = "Mail for other domains: from whom, and by which way." },
    { "limits", &type_section, 0, .section = &section_limits, .example = "{message_size: 50 MiB}",
      .meaning = "What a client may ask of the server." },
    { "queue", &type_section, 0, .section = &section_queue, .example = "{lifetime: 3d}",
      .meaning = "How long and how often delivery is tried." },
    { "imap", &type_section, 0, .section = &section_imap, .example = "{keepalive: 5m}",
      .meaning = "Mailboxes over IMAP." },
    { "pop3", &type_section, 0, .section = &section_pop3, .example = "{uidl: dovecot}",
      .meaning = "Mailboxes over POP3." },
    { "dns", &type_section, 0, .section = &section_dns, .example = "{servers: [127.0.0.1]}",
      .meaning = "Name servers." },
    { "log", &type_section, 0, .section = &section_log, .example = "{to: syslog}",
      .meaning = "What is told, and where." },
    { 0 },
};
const struct section section_top = {
    "", "the top level",
    "The keys of the file's top level. Only `hostname` must be there; without `domains` the server accepts mail "
    "from trusted networks and logins alone.",
    top_fields
};

static const struct field listener_fields[] = {
    { "address", &type_text, LISTEN(address), .preset = "*", .example = "192.0.2.1",
      .meaning = "An IPv4 or IPv6 address; \"*\" for all addresses of both families; `loopback` for 127.0.0.1 and ::1; "
                 "`unix:PATH` for a Unix socket." },
    { "port", &type_port, LISTEN(port), RANGE(0, 65535), .example = "2525",
      .meaning =
          "TCP port; 0 lets the kernel pick one. Default: 25 for smtp, 587 for submission, 143 for imap, 110 for pop3; "
          "with implicit TLS 465, 993 and 995." },
    { "service", &type_word, LISTEN(service), .words = service_words, .example = "submission",
      .meaning = "`smtp` receives mail for the domains; `submission` takes mail from people who log in; `imap` and "
                 "`pop3` serve their mailboxes. Default: as the port says, else smtp." },
    { "tls", &type_word, LISTEN(tls), .words = tls_words, .example = "implicit",
      .meaning =
          "`starttls`: the client asks for it; `implicit`: from the first octet. Default: implicit on ports 465, "
          "993 and 995, else starttls if there is a certificate, else none." },
    { "proxy_from", &type_networks, LISTEN(proxy_from), .preset = "[]", .example = "[10.0.0.5]",
      .meaning =
          "Proxies (HAProxy, nginx) that must begin with a PROXY header, version 1 or 2. Others may not send one." },
    { "fix_bare_newlines", &type_bool, LISTEN(fix_bare_newlines), .preset = "false", .example = "true",
      .meaning = "For old devices: a bare LF from a trusted network is taken for CRLF instead of refused." },
    { 0 },
};
const struct section section_listener = {
    "listen[]", "a listener",
    "Each item of `listen`. `listen: loopback` stands for ports 25, 587, 143 and 110 on 127.0.0.1 and ::1. Without "
    "`listen`, the server listens on all addresses: port 25 (smtp), and with a certificate on those of submission, "
    "imap "
    "and pop3 too, 465, 993 and 995 with implicit TLS, 587, 143 and 110 with STARTTLS. What people log in to is "
    "possible without TLS on loopback only.",
    listener_fields
};

static const struct field tls_fields[] = {
    { "certificate", &type_later_path, 0, .example = "/etc/facteur/cert.pem",
      .meaning = "PEM file with the server's certificate and its chain. Default: none." },
    { "key", &type_later_path, 0, .example = "/etc/facteur/key.pem",
      .meaning = "PEM file with its private key, not readable by others. Default: none." },
    { "certificates", &type_certificates, AT(tls), .section = &section_certificate,
      .example = "[{certificate: a.pem, key: a.key}]",
      .meaning = "More of them; the client's server name (SNI) chooses. Default: none." },
    { "ca", &type_path, AT(tls.ca), .example = "/etc/ssl/certs/ca-certificates.crt",
      .meaning = "PEM file of the authorities that next hops are verified by. Default: the system's." },
    { 0 },
};
const struct section section_tls = { "tls", "tls", "Certificates for listeners and authorities for next hops.",
                                     tls_fields };

static const struct field certificate_fields[] = {
    { "certificate", &type_path, offsetof(struct conf_certificate, certificate), .required = true, .example = "a.pem",
      .meaning = "PEM file with the certificate and its chain." },
    { "key", &type_path, offsetof(struct conf_certificate, key), .required = true, .example = "a.key",
      .meaning = "PEM file with its private key." },
    { 0 },
};
const struct section section_certificate = { "tls.certificates[]", "a certificate", "Each further certificate.",
                                             certificate_fields };

static const struct field domain_fields[] = {
    { "aliases", &type_aliases, 0, .example = "{info: [anna, ben@example.com]}",
      .meaning = "Local part: one target or several; a target without a domain is in this one. Default: none." },
    { "catch_all", &type_catch_all, 0, .example = "anna@example.org",
      .meaning = "Who gets mail for names that nobody has. Default: nobody; such mail is refused." },
    { "subaddress", &type_delimiters, offsetof(struct conf_domain, subaddress), .preset = "+", .example = "+-",
      .meaning = "Characters that may begin a sub-address: anna+shop@ reaches anna. Empty: none." },
    { 0 },
};
const struct section section_domain = {
    "domains.*", "a domain",
    "Each domain; its value may be empty. Mail to postmaster@ and abuse@ always reaches somebody (RFC 5321 section "
    "4.5.1): a user or alias of that name, else the catch-all, else the domain's first user, else the first of all "
    "users.",
    domain_fields
};

static const struct field user_fields[] = {
    { "password", &type_hashes, USER(passwords), .example = "\"$y$j9T$…\"",
      .meaning =
          "A hash (yescrypt, bcrypt, SHA-512, SHA-256, argon2id, SCRAM-SHA-256), a list of them, `{file: PATH}` or "
          "`{env: NAME}` with one in each line. Any of them fits. Default: none; the user receives mail and cannot "
          "log in." },
    { "senders", &type_senders, USER(senders), .preset = "[]", .example = "[sales@example.org, \"@example.net\"]",
      .meaning = "Addresses it may send as, beside its own and the aliases that lead to it alone; \"@domain\" for a "
                 "whole domain, \"*\" for any." },
    { "quota", &type_size, USER(quota), .preset = "0", RANGE(0, PIB), .example = "5 GiB",
      .meaning = "The mailbox's most octets; 0: no limit." },
    { "services", &type_services, USER(services), .words = user_service_words, .preset = "[submission, imap, pop3]",
      .example = "[submission]", .meaning = "What it may log in to: submission, imap, pop3." },
    { "leave_on_server", &type_bool, USER(leave_on_server), .preset = "false", .example = "true",
      .meaning = "true: what a POP3 client deletes stays in the mailbox, and is not offered to it again." },
    { "enabled", &type_bool, USER(enabled), .preset = "true", .example = "false",
      .meaning = "false: no login, and mail to it is refused (550 5.2.1); what is in the mailbox stays." },
    { 0 },
};
const struct section section_user = {
    "users.*", "a user",
    "Each user, by address; its value may be empty. A login is the address, or its local part in the default "
    "domain. Local parts are ASCII and not case-sensitive.",
    user_fields
};

static const struct field auth_fields[] = {
    { "mechanisms", &type_mechanisms, 0, .words = mechanism_words, .preset = "[PLAIN, LOGIN, SCRAM-SHA-256]",
      .example = "[PLAIN, LOGIN]",
      .meaning = "SASL mechanisms. SCRAM-SHA-256 is offered only when each user that has a password has a "
                 "{SCRAM-SHA-256} hash, since clients that see it use it." },
    { "cache", &type_duration, AT(auth.cache), .preset = "10m", RANGE(0, DAY), .example = "0",
      .meaning = "How long a password that was right is taken without computing its slow hash again; 0: never. Kept in "
                 "memory as keyed digests, at most 1024; a reload or a changed hash ends it." },
    { 0 },
};
const struct section section_auth = { "auth", "auth", "Logging in; only under TLS or from loopback.", auth_fields };

static const struct field relay_fields[] = {
    { "trusted", &type_networks, AT(relay.trusted), .preset = "[]", .example = "[192.168.1.0/24]",
      .meaning = "Clients that may send to anywhere without logging in." },
    { "domains", &type_domains, AT(relay.domains), .preset = "[]", .example = "[example.net]",
      .meaning = "Domains of others that mail is accepted for and passed on to (backup MX)." },
    { "smarthost", &type_smarthost, AT(relay.smarthost), .section = &section_next_hop,
      .example = "{host: smtp.isp.example, user: office, password: {file: isp.secret}}",
      .meaning = "The next hop of all mail that no route takes. Default: none; mail goes to each domain's MX." },
    { "routes", &type_routes, 0, .section = &section_next_hop, .example = "{example.net: 10.0.0.7, .example.com: mx}",
      .meaning =
          "Domain, \".domain\" (its subdomains) or \"*\": a next hop, or `mx`. The most exact one counts. Default: "
          "none." },
    { 0 },
};
const struct section section_relay = { "relay", "relay",
                                       "Mail for other domains. Strangers never send through this server: see Safety.",
                                       relay_fields };

static const struct field next_hop_fields[] = {
    { "host", &type_hop_host, HOP(host), .required = true, .example = "smtp.isp.example",
      .meaning = "Name or address; a name's address is looked up, not its MX." },
    { "port", &type_port, HOP(port), RANGE(1, 65535), .example = "587",
      .meaning = "TCP port. Default: 465 with implicit TLS, 587 with a user, else 25." },
    { "tls", &type_word, HOP(tls), .words = hop_tls_words, .example = "implicit",
      .meaning = "`opportunistic`: STARTTLS if offered; `starttls` and `implicit`: never without; `none`: never. "
                 "Default: implicit on port 465, starttls with a user, else opportunistic." },
    { "verify", &type_bool, HOP(verify), .example = "false",
      .meaning =
          "Whether the host's certificate must be valid for its name. Default: true with starttls and implicit." },
    { "user", &type_text, HOP(user), .example = "office@isp.example", .meaning = "Login there. Default: none." },
    { "password", &type_secret, HOP(password), .example = "{file: isp.secret}",
      .meaning = "Its password; never sent without TLS except to loopback. Default: none." },
    { 0 },
};
const struct section section_next_hop = {
    "relay.smarthost", "a next hop",
    "A next hop: `smarthost`, and each of `routes`. It may also be written as `host` or `host:port` alone.",
    next_hop_fields
};

static const struct field limits_fields[] = {
    { "message_size", &type_size, AT(limits.message_size), .preset = "25 MiB", RANGE(64 * KIB, 2 * GIB - 1),
      .example = "50 MiB", .meaning = "Octets of a message; announced by SIZE." },
    { "recipients", &type_count, AT(limits.recipients), .preset = "100", RANGE(1, 10000), .example = "200",
      .meaning = "Recipients of a message from outside; RFC 5321 asks for at least 100." },
    { "submission_recipients", &type_count, AT(limits.submission_recipients), .preset = "1000", RANGE(1, 10000),
      .example = "500", .meaning = "Recipients of a message from a login or a trusted network." },
    { "line_length", &type_count, AT(limits.line_length), .preset = "65536", RANGE(1000, 1048576), .example = "1000",
      .meaning = "Octets of a line of text with its CRLF; RFC 5321 has 1000, and many send more." },
    { "connections", &type_count, AT(limits.connections), .preset = "2000", RANGE(1, 100000), .example = "256",
      .meaning = "Connections open at a time, in all." },
    { "connections_per_address", &type_count, AT(limits.connections_per_address), .preset = "20", RANGE(1, 100000),
      .example = "50",
      .meaning = "The same from one address; a network (/24, /64) may have three times as many. Sessions "
                 "that have logged in do not count here." },
    { "connections_per_user", &type_count, AT(limits.connections_per_user), .preset = "50", RANGE(1, 100000),
      .example = "20",
      .meaning = "Sessions with its login that a user may have at a time, IMAP, POP3 and submission together, from all "
                 "addresses; each device of a person takes a few." },
    { "connection_rate", &type_count, AT(limits.connection_rate), .preset = "100", RANGE(0, 1000000), .example = "600",
      .meaning = "New connections a minute from one address; 0: no limit." },
    { "message_rate", &type_count, AT(limits.message_rate), .preset = "300", RANGE(0, 1000000), .example = "60",
      .meaning = "Messages a minute from one address; 0: no limit." },
    { "auth_failures", &type_count, AT(limits.auth_failures), .preset = "3", RANGE(1, 100), .example = "5",
      .meaning = "Failed logins after which a connection is closed." },
    { "auth_failure_rate", &type_count, AT(limits.auth_failure_rate), .preset = "20", RANGE(1, 100000), .example = "10",
      .meaning = "Failed logins in 15 minutes after which an address cannot log in for a while; five times as many for "
                 "its network." },
    { "rate_exempt", &type_networks, AT(limits.rate_exempt), .preset = "[127.0.0.0/8, ::1]", .example = "[10.0.0.0/8]",
      .meaning = "Networks that the limits per address do not count for." },
    { "commands", &type_count, AT(limits.commands), .preset = "50", RANGE(10, 100000), .example = "100",
      .meaning = "Commands of a connection that are no part of a mail transaction, until it is closed; twenty times as "
                 "many may be refused for the time being (4xx)." },
    { "errors", &type_count, AT(limits.errors), .preset = "10", RANGE(1, 1000), .example = "20",
      .meaning = "Errors after which a connection is closed." },
    { "hops", &type_count, AT(limits.hops), .preset = "100", RANGE(10, 1000), .example = "50",
      .meaning = "Received fields above which a message is taken for looping; RFC 5321 asks for at least 100." },
    { "memory", &type_size, AT(limits.memory), .preset = "64 MiB", RANGE(4 * MIB, 64 * GIB), .example = "256 MiB",
      .meaning =
          "Octets of message headers and bodies in memory, above which new mail is refused for the time being (452). "
          "Half as many may wait for IMAP clients that do not read; one user's connections have at most half of what "
          "is left of them. Then answers come in smaller pieces and wait their turn, and a command that has waited "
          "for 30 seconds is refused (NO [LIMIT])." },
    { "imap_line_length", &type_size, AT(limits.imap_line_length), .preset = "64 KiB", RANGE(8 * KIB, 16 * MIB),
      .example = "1 MiB", .meaning = "Octets of an IMAP command with its literals (8 KiB before login)." },
    { "search_depth", &type_count, AT(limits.search_depth), .preset = "64", RANGE(2, 64), .example = "16",
      .meaning = "How deep the keys of an IMAP SEARCH may be nested." },
    { "search_keys", &type_count, AT(limits.search_keys), .preset = "5000", RANGE(10, 5000), .example = "500",
      .meaning = "Keys of an IMAP SEARCH." },
    { "set_pieces", &type_count, AT(limits.set_pieces), .preset = "20000", RANGE(100, 20000), .example = "5000",
      .meaning = "Pieces of a set of messages in an IMAP command: 1,3:5 has two." },
    { "mime_depth", &type_count, AT(limits.mime_depth), .preset = "100", RANGE(2, 100), .example = "20",
      .meaning = "Levels of a message's parts within parts that IMAP tells apart; deeper ones are one attachment. What "
                 "has been kept of a mailbox stays as it is until `facteur mailbox rebuild`." },
    { "mime_parts", &type_count, AT(limits.mime_parts), .preset = "10000", RANGE(10, 10000), .example = "1000",
      .meaning = "Parts of a message that IMAP tells apart, likewise." },
    { "mailboxes", &type_count, AT(limits.mailboxes), .preset = "1000", RANGE(10, 100000), .example = "5000",
      .meaning = "Mailboxes (folders) of a user." },
    { "keywords", &type_count, AT(limits.keywords), .preset = "64", RANGE(0, 64), .example = "26",
      .meaning = "Keywords (own flags) of a mailbox; the first 26 are kept in file names." },
    { "timeouts", &type_section, 0, .section = &section_timeouts, .example = "{command: 2m}",
      .meaning = "How long a peer may take." },
    { 0 },
};
const struct section section_limits = { "limits", "limits", "What a client may ask of the server.", limits_fields };

#define TIMEOUT(key_, preset_, top, example_, meaning_)                                                                \
    {                                                                                                                  \
#key_, &type_duration, AT(limits.timeout.key_), .preset = (preset_), RANGE(100 * MS, top),                     \
                                                        .example = (example_), .meaning = (meaning_)                   \
    }
static const struct field timeouts_fields[] = {
    TIMEOUT(greeting, "1m", HOUR, "30s", "A client's first command."),
    TIMEOUT(command, "5m", HOUR, "2m", "A client's next command, complete."),
    TIMEOUT(data, "5m", HOUR, "3m", "The next part of a message."),
    { "data_rate", &type_count, AT(limits.timeout.data_rate), .preset = "500", RANGE(0, 1048576), .example = "0",
      .meaning = "Octets a second that a message must come with, over each minute in which it comes; 0: no limit. "
                 "Silences of half a minute and more are no part of that, and may last `data` together." },
    TIMEOUT(tls, "30s", HOUR, "10s", "A TLS handshake."),
    TIMEOUT(login, "1m", HOUR, "30s", "IMAP, POP3: a client's login."),
    TIMEOUT(imap, "30m", DAY, "1h", "IMAP: a client's next command, also in IDLE; RFC 9051 asks for 30 minutes."),
    TIMEOUT(pop3, "10m", DAY, "15m", "POP3: a client's next command; RFC 1939 asks for 10 minutes."),
    TIMEOUT(relay_connect, "30s", HOUR, "10s", "Connecting to a next hop."),
    TIMEOUT(relay_greeting, "5m", HOUR, "1m", "A next hop's greeting."),
    TIMEOUT(relay_mail, "5m", HOUR, "1m", "Its reply to MAIL."),
    TIMEOUT(relay_rcpt, "5m", HOUR, "1m", "Its reply to RCPT."),
    TIMEOUT(relay_data_start, "2m", HOUR, "1m", "Its reply to DATA."),
    TIMEOUT(relay_data_block, "3m", HOUR, "1m", "Taking the next part of a message."),
    TIMEOUT(relay_data_end, "10m", HOUR, "5m", "Its reply to the end of a message."),
    TIMEOUT(shutdown, "10s", HOUR, "5s", "Work in hand when the server is told to stop."),
    { 0 },
};
const struct section section_timeouts = { "limits.timeouts", "limits.timeouts",
                                          "Durations after which a peer is given up; each counts for a whole step, not "
                                          "for an octet. The `relay_` ones are RFC "
                                          "5321 section 4.5.3.2's.",
                                          timeouts_fields };

static const struct field queue_fields[] = {
    { "retry", &type_retry, AT(queue.retry), .preset = "[5m, 10m, 20m, 40m, 1h, 2h, 4h]", RANGE(100 * MS, 7 * DAY),
      .example = "[15m, 1h, 4h]", .meaning = "Waits after the first, second, … failed attempt; the last repeats." },
    { "lifetime", &type_duration, AT(queue.lifetime), .preset = "5d", RANGE(1 * SEC, 60 * DAY), .example = "3d",
      .meaning = "After this long an undelivered message is returned to its sender." },
    { "warn_after", &type_duration, AT(queue.warn_after), .preset = "4h", RANGE(0, 60 * DAY), .example = "0",
      .meaning = "After this long the sender is told of the delay; 0: never." },
    { "inline_limit", &type_size, AT(queue.inline_limit), .preset = "32 KiB", RANGE(0, 16 * MIB), .example = "64 KiB",
      .meaning = "Larger bodies are kept in files of their own instead of the queue's database." },
    { "inline_budget", &type_size, AT(queue.inline_budget), RANGE(1 * MIB, 64 * GIB), .example = "16 MiB",
      .meaning = "Octets of all bodies in memory; at most `limits.memory`. Default: half of it." },
    { "low_disk", &type_size, AT(queue.low_disk), .preset = "100 MiB", RANGE(0, 1024 * GIB), .example = "1 GiB",
      .meaning = "With less free space new mail is refused for the time being (452)." },
    { "concurrency", &type_count, AT(queue.concurrency), .preset = "64", RANGE(1, 10000), .example = "16",
      .meaning = "Outgoing connections at a time." },
    { "destination_concurrency", &type_count, AT(queue.destination_concurrency), .preset = "4", RANGE(1, 1000),
      .example = "10", .meaning = "The same to one destination." },
    { "messages_per_connection", &type_count, AT(queue.messages_per_connection), .preset = "100", RANGE(1, 100000),
      .example = "20", .meaning = "Messages sent over one connection." },
    { "history", &type_duration, AT(queue.history), .preset = "30d", RANGE(0, 3650 * DAY), .example = "90d",
      .meaning = "How long it is remembered what became of a message; 0: not at all." },
    { 0 },
};
const struct section section_queue = { "queue", "queue",
                                       "How long and how often delivery is tried, and what the queue may use.",
                                       queue_fields };

static const struct field imap_fields[] = {
    { "keepalive", &type_duration, AT(imap.keepalive), .preset = "2m", RANGE(0, DAY), .example = "5m",
      .meaning =
          "In IDLE the server says this often that it is still there, for routers that forget quiet connections; "
          "0: never." },
    { "search_index", &type_bool, AT(imap.search_index), .preset = "true", .example = "false",
      .meaning = "Whether a full-text index is kept beside each mailbox; without it SEARCH reads the messages." },
    { "search_size", &type_size, AT(imap.search_size), .preset = "256 KiB", RANGE(1 * KIB, 64 * MIB),
      .example = "1 MiB", .meaning = "Octets of a message's text that the index looks at; longer ones are read." },
    { 0 },
};
const struct section section_imap = { "imap", "imap", "Mailboxes over IMAP.", imap_fields };

static const struct field pop3_fields[] = {
    { "uidl", &type_word, AT(pop3.uidl), .words = uidl_words, .preset = "validity.uid", .example = "dovecot",
      .meaning =
          "What unique-ids look like, for clients that come from another server: `validity.uid` (UIDVALIDITY and "
          "UID), `dovecot` (its default, %08Xu%08Xv), `name` (of the file when facteur first saw it, "
          "as Courier's users have, or Dovecot's with %f), `uid`." },
    { 0 },
};
const struct section section_pop3 = { "pop3", "pop3", "Mailboxes over POP3.", pop3_fields };

static const struct field dns_fields[] = {
    { "servers", &type_servers, AT(dns.servers), .example = "[127.0.0.1, \"[2001:db8::1]:5353\"]",
      .meaning = "Addresses of name servers, each with a port if it is not 53. Default: the system's (resolv.conf)." },
    { 0 },
};
const struct section section_dns = { "dns", "dns", "Name servers.", dns_fields };

static const struct field log_fields[] = {
    { "to", &type_log_target, 0, .preset = "stderr", .example = "/var/log/facteur.log",
      .meaning = "stderr, syslog, or a file, which is opened again on SIGHUP." },
    { "format", &type_word, AT(log.format), .words = format_words, .preset = "logfmt", .example = "json",
      .meaning = "logfmt or json; one event a line." },
    { "level", &type_word, AT(log.level), .words = level_words, .preset = "info", .example = "debug",
      .meaning = "error, warning, info or debug." },
    { 0 },
};
const struct section section_log = { "log", "log", "What is told, and where.", log_fields };

const struct section *const sections[] = {
    &section_top,
    &section_listener,
    &section_tls,
    &section_certificate,
    &section_domain,
    &section_user,
    &section_auth,
    &section_relay,
    &section_next_hop,
    &section_limits,
    &section_timeouts,
    &section_queue,
    &section_imap,
    &section_pop3,
    &section_dns,
    &section_log,
    NULL,
};
