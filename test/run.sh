#!/bin/sh
# Installs what the tests need, builds the debug preset and runs every test. The last line is "N passed, N failed" (and
# ", N skipped", each of them named above with its reason); the exit status is 0 only when none failed.
#
#   sh test/run.sh [--quick] [--fuzz-seconds N] [--crash-rounds N] [--fault-rounds N] [--only STAGE,...]
#
#   --quick            no fuzzing, no static analysis, the shortest crash test
#   --fuzz-seconds N   how long each fuzz target runs (20)
#   --crash-rounds N   kill -9 so many times (15; a release gets 200)
#   --fault-rounds N   so many rounds with failing fsync, write, rename and link (8)
#   --only STAGE,...   of: ctest e2e quickstart crash fault fuzz
set -u

here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here" || exit 1
PATH=$PATH:/usr/sbin:/sbin
fuzz_seconds=20 crash_rounds= fault_rounds= quick=no stages=

while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=yes ;;
    --fuzz-seconds | --crash-rounds | --fault-rounds | --only)
        if [ $# -lt 2 ]; then
            echo "run.sh: $1 needs a value" >&2
            exit 64
        fi
        case $1 in
        --fuzz-seconds) fuzz_seconds=$2 ;;
        --crash-rounds) crash_rounds=$2 ;;
        --fault-rounds) fault_rounds=$2 ;;
        --only) stages=$2 ;;
        esac
        shift
        ;;
    -h | --help)
        sed -n '2,/^set -u/{/^#/s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    *)
        echo "run.sh: unknown option $1 (see --help)" >&2
        exit 64
        ;;
    esac
    shift
done
# What was asked for by name goes before what --quick means, in whatever order they were given.
if [ $quick = yes ]; then
    : "${crash_rounds:=4}" "${fault_rounds:=2}" "${stages:=ctest,e2e,quickstart,crash,fault}"
else
    : "${crash_rounds:=15}" "${fault_rounds:=8}" "${stages:=ctest,e2e,quickstart,crash,fault,fuzz}"
fi

mkdir -p build
# One line a test: "passed NAME", "failed NAME" or "skipped NAME: why".
results=$here/build/test-results.txt
: >"$results"
started=$(date +%s)

stage() { printf '\n=== %s (after %s s)\n' "$*" $(($(date +%s) - started)); }
selected() { case ,$stages, in *,"$1",*) true ;; *) false ;; esac; }
passed() { printf 'passed %s\n' "$1" | tee -a "$results"; }
failed() { printf 'failed %s\n' "$1" | tee -a "$results"; }
skipped() { printf 'skipped %s\n' "$1" | tee -a "$results"; }

# Runs a command quietly; its output is shown when it fails.
check() {
    name=$1
    shift
    log=build/$(printf %s "$name" | tr -c 'a-zA-Z0-9_\n-' '_').log
    if "$@" >"$log" 2>&1; then
        passed "$name"
    else
        echo "--- $name: exit status $?; $log:"
        tail -n 100 "$log"
        failed "$name"
        return 1
    fi
}

finish() {
    p=$(grep -c '^passed' "$results")
    f=$(grep -c '^failed' "$results")
    s=$(grep -c '^skipped' "$results")
    printf '\n=== summary (%s s)\n' $(($(date +%s) - started))
    grep '^skipped' "$results"
    grep '^failed' "$results"
    if [ "$s" -gt 0 ]; then
        echo "$p passed, $f failed, $s skipped"
    else
        echo "$p passed, $f failed"
    fi
    if [ "$f" -eq 0 ] && [ "$p" -gt 0 ]; then
        exit 0
    fi
    exit 1
}

stage packages
sh config/install-packages.sh build demo test || echo 'some packages are missing: tests that need them are skipped'

# npm's packages are installed below build/, never into the system or the source.
for package in nodemailer@6 imapflow@1; do
    name=${package%@*}
    if command -v npm >/dev/null 2>&1 && ! [ -d "build/$name/node_modules/$name" ]; then
        npm install --prefix "build/$name" --no-audit --no-fund --ignore-scripts --loglevel=error "$package" ||
            echo "$name is not to be had: its test is skipped"
    fi
done

stage 'build (debug)'
check build/debug sh -c 'cmake --preset debug && cmake --build --preset debug' || finish

if selected ctest; then
    stage 'unit tests, corpora, lints'
    slow=
    [ $quick = no ] || slow='-LE slow'
    # shellcheck disable=SC2086 # $slow is two words or none
    ctest --test-dir build/debug --output-on-failure -j "$(nproc)" $slow >build/ctest.log 2>&1
    ctest_status=$?
    grep -v '^ *Start *[0-9]' build/ctest.log
    sed -n 's/^ *[0-9]*\/[0-9]* Test *#[0-9]*: \([^ ]*\) \.*\**\(.*\)$/\1 \2/p' build/ctest.log |
        while read -r name outcome; do
            case $outcome in
            *Passed*) echo "passed $name" ;;
            *Skipped* | *Disabled*) echo "skipped $name: a tool is missing or of another version" ;;
            *) echo "failed $name" ;;
            esac
        done >>"$results"
    # A ctest that failed without naming a test must not be taken for a good one.
    if [ $ctest_status -ne 0 ] && ! grep -q '^failed' "$results"; then
        failed ctest
    fi
fi

release=unknown
need_release() {
    if [ $release = unknown ]; then
        check build/release sh -c 'cmake --preset release && cmake --build --preset release' && release=yes || release=no
    fi
    [ $release = yes ]
}

if selected e2e; then
    stage 'over sockets: dialogues, end to end, clients, peers'
    python3 -B test/e2e/run.py --binary build/debug/facteur --results "$results"
fi

if selected e2e && need_release; then
    stage 'over sockets: what only the release build can show'
    python3 -B test/e2e/run.py --binary build/release/facteur --label release/ --results "$results" hundred_megabytes \
        many_sessions login_is_quick message_lands never_reads rights/
fi

if selected quickstart; then
    stage 'quickstart'
    check quickstart python3 -B test/e2e/quickstart.py
fi

if selected crash; then
    stage "crash ($crash_rounds rounds of kill -9)"
    need_release && check crash python3 -B test/crash/crash.py --binary build/release/facteur --rounds "$crash_rounds"
    tail -n 12 build/crash.log 2>/dev/null
    need_release && check imap_crash python3 -B test/crash/imap_crash.py --binary build/release/facteur \
        --rounds "$crash_rounds"
    tail -n 12 build/imap_crash.log 2>/dev/null
fi

if selected fault; then
    stage "faults ($fault_rounds rounds of failing calls)"
    need_release && check fault python3 -B test/fault/fault.py --binary build/release/facteur \
        --library build/debug/test/fault/faultfs.so --rounds "$fault_rounds"
    tail -n 12 build/fault.log 2>/dev/null
    need_release && check imap_fault python3 -B test/fault/imap_fault.py --binary build/release/facteur \
        --library build/debug/test/fault/faultfs.so --rounds "$fault_rounds"
    tail -n 12 build/imap_fault.log 2>/dev/null
fi

if selected fuzz; then
    stage "fuzz ($fuzz_seconds s each)"
    if ! command -v clang >/dev/null 2>&1; then
        skipped 'fuzz: no clang'
    elif check build/fuzz sh -c 'cmake --preset fuzz && cmake --build --preset fuzz'; then
        python3 -B test/fuzz/run.py --build build/fuzz --seconds "$fuzz_seconds" --jobs "$(nproc)" --results "$results"
    fi
fi

finish
