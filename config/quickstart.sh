#!/bin/sh
# Everything from a fresh Debian 12 or 13 to a mail server that runs and has delivered a message:
#
#   sh config/quickstart.sh           stays in the foreground; Ctrl-C stops it
#   sh config/quickstart.sh --once    stops after the demonstration; the exit status says whether it worked
#
# Installs what is missing (config/packages.txt; nothing when all is there), builds the release preset, makes a policy
# file, a self-signed certificate and two users with random passwords, starts facteur as an ordinary user on 127.0.0.1,
# sends a message through it as the first user to the second (logged in, over TLS), shows the file in which it landed,
# and reads it back as the second user over IMAP. The policy trusts no network: who relays logs in.
#
# Environment, so that several can run side by side:
#   SMTP_PORT         2525   receiving, STARTTLS offered
#   SUBMISSION_PORT   2587   sending with a login, STARTTLS
#   SUBMISSIONS_PORT  2465   sending with a login, TLS from the start
#   IMAP_PORT         2143   reading, STARTTLS; IMAPS_PORT 2993, TLS from the start
#   POP3_PORT         2110   fetching, STLS; POP3S_PORT 2995, TLS from the start
#   STATE             var/state   all that it writes: queue, mail, and in etc/ the policy, users and certificate
#   DOMAIN            example.test
#   RUN_AS            when started by root: the user that facteur runs as. Default: the owner of this directory, else
#                     the user who called sudo, else nobody
#
# For scripts it writes var/quickstart.env (the last one started) and $STATE/etc/quickstart.env (each its own): BINARY,
# HOST, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT, IMAP_PORT, IMAPS_PORT, POP3_PORT, POP3S_PORT, DOMAIN, USER1,
# PASSWORD1, USER2, PASSWORD2, MAILDIR1, MAILDIR2, CERTIFICATE, CONFIG, STATE, PID.
set -eu
umask 077

once=no
case ${1-} in
'') ;;
--once) once=yes ;;
-h | --help)
    sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
*)
    echo "quickstart: unknown option $1 (see --help)" >&2
    exit 64
    ;;
esac

here=$(cd "$(dirname "$0")/.." && pwd)
SMTP_PORT=${SMTP_PORT:-2525}
SUBMISSION_PORT=${SUBMISSION_PORT:-2587}
SUBMISSIONS_PORT=${SUBMISSIONS_PORT:-2465}
IMAP_PORT=${IMAP_PORT:-2143}
IMAPS_PORT=${IMAPS_PORT:-2993}
POP3_PORT=${POP3_PORT:-2110}
POP3S_PORT=${POP3S_PORT:-2995}
DOMAIN=${DOMAIN:-example.test}
HOST=127.0.0.1
STATE=${STATE:-$here/var/state}
case $STATE in
/*) ;;
*) STATE=$PWD/$STATE ;;
esac
BINARY=$here/build/release/facteur
PID=

say() { printf '\n==> %s\n' "$*"; }
die() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

# --- who it runs as ---------------------------------------------------------------------------------------------------

# An ordinary user for a root that must not run a mail server; empty when we are ordinary already.
choose_user() {
    [ "$(id -u)" = 0 ] || return 0
    for name in "${RUN_AS:-}" "$(stat -c %U "$here")" "${SUDO_USER:-}" nobody; do
        if [ -n "$name" ] && [ "$name" != root ] && id -u "$name" >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return 0
        fi
    done
    die 'no ordinary user to run as; set RUN_AS'
}

# Runs a command with that user's rights, or with ours.
as_user() {
    if [ -z "$user" ]; then
        "$@"
    else
        setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --inh-caps=-all --no-new-privs -- "$@"
    fi
}

# --- build ------------------------------------------------------------------------------------------------------------

sh "$here/config/install-packages.sh" build demo
user=$(choose_user)

say 'building (release): a minute or more the first time'
(
    umask 022
    mkdir -p "$here/build"
    cd "$here"
    exec 9>build/quickstart.lock # two that start at the same moment build one after the other
    flock 9
    if ! { cmake --preset release && cmake --build --preset release; } >build/quickstart.log 2>&1; then
        cat build/quickstart.log >&2
        exit 1
    fi
    tail -n 1 build/quickstart.log
)

# --- state ------------------------------------------------------------------------------------------------------------

mkdir -p "$here/var" "$STATE/etc"
chmod 755 "$here/var"
if [ -n "$user" ]; then
    chown -R "$user:$(id -g "$user")" "$STATE"
    if ! as_user test -x "$STATE" || ! as_user test -x "$BINARY"; then
        # A checkout below /root, say: its mail and a copy of the program go where that user may go.
        STATE=/var/lib/facteur-quickstart/$(printf %s "$STATE" | cksum | cut -d ' ' -f 1)
        (
            umask 022
            mkdir -p /var/lib/facteur-quickstart
        )
        mkdir -p "$STATE/etc"
        install -m 755 "$BINARY" "$STATE/etc/facteur"
        BINARY=$STATE/etc/facteur
        chown -R "$user:$(id -g "$user")" "$STATE"
        echo "$user may not enter $here: the state is in $STATE"
    fi
fi
etc=$STATE/etc
CONFIG=$etc/facteur.yaml
CERTIFICATE=$etc/certificate.pem
KEY=$etc/key.pem
USERS=$etc/users.yaml
USER1=anna@$DOMAIN
USER2=bert@$DOMAIN
MAILDIR1=$STATE/mail/$DOMAIN/anna/Maildir
MAILDIR2=$STATE/mail/$DOMAIN/bert/Maildir

# Writes standard input to a file of that user's.
put() { as_user sh -c 'umask 077; cat >"$1.new" && mv "$1.new" "$1"' put "$1"; }

random_password() { head -c 15 /dev/urandom | base64 | tr '+/' 'xy'; }

# A value as the shell reads it back, whatever is in it.
quoted() { printf "'%s'\n" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"; }

stop() {
    [ -n "$PID" ] || return 0
    kill -TERM "$PID" 2>/dev/null || true
    wait "$PID" 2>/dev/null || true
    PID=
}

old=$(sed -n "s/^PID='\(.*\)'$/\1/p" "$etc/quickstart.env" 2>/dev/null || true)
if [ -n "$old" ] && [ "$(cat "/proc/$old/comm" 2>/dev/null)" = facteur ]; then
    die "it runs already (process $old) with the state in $STATE; set STATE and the ports for a second one"
fi

PASSWORD1=$(sed -n "s/^PASSWORD1='\(.*\)'$/\1/p" "$etc/quickstart.env" 2>/dev/null || true)
PASSWORD2=$(sed -n "s/^PASSWORD2='\(.*\)'$/\1/p" "$etc/quickstart.env" 2>/dev/null || true)

put "$CONFIG" <<END
# Written by config/quickstart.sh at each start; config/facteur.yaml shows all there is.
hostname: mail.$DOMAIN
state: $STATE
default_domain: $DOMAIN
users_file: users.yaml

domains:
  $DOMAIN: {}

listen:
  - { address: $HOST, port: $SMTP_PORT, service: smtp, tls: starttls }
  - { address: $HOST, port: $SUBMISSION_PORT, service: submission, tls: starttls }
  - { address: $HOST, port: $SUBMISSIONS_PORT, service: submission, tls: implicit }
  - { address: $HOST, port: $IMAP_PORT, service: imap, tls: starttls }
  - { address: $HOST, port: $IMAPS_PORT, service: imap, tls: implicit }
  - { address: $HOST, port: $POP3_PORT, service: pop3, tls: starttls }
  - { address: $HOST, port: $POP3S_PORT, service: pop3, tls: implicit }

tls:
  certificate: certificate.pem
  key: key.pem

# No network is trusted: who wants to send elsewhere logs in.
relay:
  trusted: []
END
[ -e "$USERS" ] || as_user touch "$USERS"
if ! [ -s "$CERTIFICATE" ] || ! [ -s "$KEY" ]; then
    as_user "$BINARY" tls self-signed --cert "$CERTIFICATE" --key "$KEY" localhost "$HOST" "mail.$DOMAIN" >/dev/null
fi

# Adds a user, or gives him the password that we know.
have_user() {
    if printf '%s\n' "$2" | as_user "$BINARY" user add --config "$CONFIG" --password-stdin "$1" >"$etc/user.log" 2>&1 ||
        printf '%s\n' "$2" | as_user "$BINARY" user passwd --config "$CONFIG" --password-stdin "$1" >>"$etc/user.log" 2>&1; then
        rm -f "$etc/user.log"
    else
        cat "$etc/user.log" >&2
        die "cannot make the user $1"
    fi
}
if [ -z "$PASSWORD1" ] || [ -z "$PASSWORD2" ] || ! grep -qF "$USER1" "$USERS" || ! grep -qF "$USER2" "$USERS"; then
    PASSWORD1=$(random_password)
    PASSWORD2=$(random_password)
    have_user "$USER1" "$PASSWORD1"
    have_user "$USER2" "$PASSWORD2"
fi

# --- start ------------------------------------------------------------------------------------------------------------

say "starting facteur as ${user:-$(id -un)}"
LOG=$etc/facteur.log
: >"$LOG"
trap 'stop' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if [ -z "$user" ]; then
    "$BINARY" serve --config "$CONFIG" >"$LOG" 2>&1 &
else
    # Its own line, not as_user: a function in the background would be a shell between us and the process.
    setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --inh-caps=-all --no-new-privs -- \
        "$BINARY" serve --config "$CONFIG" >"$LOG" 2>&1 &
fi
PID=$!

tries=0
until as_user "$BINARY" status --config "$CONFIG" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if ! kill -0 "$PID" 2>/dev/null || [ $tries -gt 100 ]; then
        cat "$LOG" >&2
        if grep -q 'in use' "$LOG"; then
            die 'a port is taken: choose others with SMTP_PORT, SUBMISSION_PORT and so on (see --help)'
        fi
        die 'facteur did not start'
    fi
    sleep 0.1
done

for name in BINARY HOST SMTP_PORT SUBMISSION_PORT SUBMISSIONS_PORT IMAP_PORT IMAPS_PORT POP3_PORT POP3S_PORT DOMAIN \
    USER1 PASSWORD1 USER2 PASSWORD2 MAILDIR1 MAILDIR2 CERTIFICATE CONFIG STATE PID; do
    eval "printf '%s=%s\n' $name \"\$(quoted \"\$$name\")\""
done >"$etc/quickstart.env.new"
cp "$etc/quickstart.env.new" "$here/var/quickstart.env"
mv "$etc/quickstart.env.new" "$etc/quickstart.env"
[ "$(id -u)" != 0 ] || chown --reference "$here" "$here/var" "$here/var/quickstart.env" 2>/dev/null || true

# --- demonstration ----------------------------------------------------------------------------------------------------

say "sending a message from $USER1 to $USER2 (login over TLS, port $SUBMISSION_PORT)"
token=$(random_password | tr -dc 'a-zA-Z0-9')
if ! curl --silent --show-error --ssl-reqd --cacert "$CERTIFICATE" \
    --url "smtp://$HOST:$SUBMISSION_PORT/client.$DOMAIN" --user "$USER1:$PASSWORD1" \
    --mail-from "$USER1" --mail-rcpt "$USER2" --crlf --upload-file - <<END; then
From: Anna <$USER1>
To: Bert <$USER2>
Subject: It works
Message-ID: <$token@quickstart.$DOMAIN>

Dear Bert,

this message went through facteur.
END
    tail -n 20 "$LOG" >&2
    die 'the message was not accepted'
fi

tries=0
landed=
while [ -z "$landed" ]; do
    landed=$(grep -rlF "<$token@quickstart." "$MAILDIR2/new" "$MAILDIR2/cur" 2>/dev/null | head -n 1) || true
    [ -n "$landed" ] && break
    tries=$((tries + 1))
    if [ $tries -gt 100 ]; then
        tail -n 20 "$LOG" >&2
        die "the message was accepted and is not in $MAILDIR2 yet"
    fi
    sleep 0.1
done
say "it landed in $landed"

# curl as a mail program; $1 is what follows the host in the URL.
imap() {
    curl --silent --show-error --ssl-reqd --cacert "$CERTIFICATE" --user "$USER2:$PASSWORD2" \
        --url "imap://$HOST:$IMAP_PORT/$1"
}
say "reading it back as $USER2 over IMAP (login over TLS, port $IMAP_PORT)"
if ! number=$(imap "INBOX?HEADER%20Message-ID%20$token" | tr -d '\r' | sed -n 's/^\* SEARCH \([0-9]*\)$/\1/p') ||
    [ -z "$number" ] || ! imap "INBOX;MAILINDEX=$number" >"$etc/read.eml"; then
    tail -n 20 "$LOG" >&2
    die 'the message cannot be read over IMAP'
fi
tr -d '\r' <"$etc/read.eml" | sed 's/^/    /'
rm -f "$etc/read.eml"

if [ $once = yes ]; then
    stop
    say 'it worked'
    exit 0
fi

cat <<END

==> facteur runs (process $PID) until Ctrl-C. To try it from another terminal:

swaks --server $HOST --port $SUBMISSION_PORT --tls --auth PLAIN --auth-user $USER1 --auth-password '$PASSWORD1' \\
      --from $USER1 --to $USER2

printf 'From: $USER2\nTo: $USER1\nSubject: hello\n\nhello\n' |
curl --ssl-reqd --cacert '$CERTIFICATE' --url smtps://$HOST:$SUBMISSIONS_PORT --user '$USER2:$PASSWORD2' \\
     --mail-from $USER2 --mail-rcpt $USER1 --crlf --upload-file -

    A mail program     IMAP  $HOST port $IMAPS_PORT, SSL/TLS     (or $IMAP_PORT, STARTTLS)
                       POP3  $HOST port $POP3S_PORT, SSL/TLS     (or $POP3_PORT, STARTTLS)
                       SMTP  $HOST port $SUBMISSIONS_PORT, SSL/TLS     (or $SUBMISSION_PORT, STARTTLS)
                       user $USER1, password $PASSWORD1 (accept the self-signed certificate)

    mail of $USER1     $MAILDIR1
    mail of $USER2     $MAILDIR2
    policy             $CONFIG
    log                $LOG
    what it is doing   '$BINARY' status --config '$CONFIG'
    for scripts        $here/var/quickstart.env
END
status=0
wait "$PID" || status=$?
PID=
tail -n 5 "$LOG" >&2
exit $status
